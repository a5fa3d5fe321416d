"""Parts of a detector while it is being put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors.base import Detector, Sensor

__all__ = ["Modules", "assemble", "linear"]


class Modules(NamedTuple):
    """Columns of a module table; ``layer`` and ``sensor`` are indices. Lengths in cm."""

    detid: NDArray[np.uint32]
    layer: NDArray[np.int64]
    ladder: NDArray[np.int64]
    module: NDArray[np.int64]
    side: NDArray[np.int64]
    position: NDArray[np.float64]
    axis_row: NDArray[np.float64]
    axis_col: NDArray[np.float64]
    sensor: NDArray[np.int64]

    @staticmethod
    def of(
        *,
        detid: ArrayLike,
        layer: ArrayLike,
        ladder: ArrayLike,
        module: ArrayLike,
        side: ArrayLike = 0,
        position: tuple[ArrayLike, ArrayLike, ArrayLike],
        axis_row: tuple[ArrayLike, ArrayLike, ArrayLike],
        axis_col: tuple[ArrayLike, ArrayLike, ArrayLike],
        sensor: ArrayLike = 0,
    ) -> Modules:
        """Columns of one length from arrays and single values; vectors by their x, y and z."""
        flat = np.broadcast_arrays(
            *(detid, layer, ladder, module, side, sensor, *position, *axis_row, *axis_col)
        )
        ids, *whole = (a.ravel() for a in flat[:6])
        vectors = np.array([a.ravel() for a in flat[6:]], float).reshape(3, 3, -1)
        layers, ladders, places, sides, sensors = (a.astype(np.int64) for a in whole)
        return Modules(
            ids.astype(np.uint32), layers, ladders, places, sides,
            vectors[0].T.copy(), vectors[1].T.copy(), vectors[2].T.copy(), sensors,
        )  # fmt: skip


def assemble(
    name: str,
    parts: Sequence[Modules],
    *,
    layers: Sequence[str],
    sensors: Sequence[Sensor],
    electrons: NDArray[np.float64],
    cluster_threshold: float = 0.0,
    seed_threshold: float = 0.0,
    channel_threshold: float = 0.0,
) -> Detector:
    """A detector from its parts, one response for all modules."""
    joined = Modules._make(np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(joined.detid, kind="stable")
    modules = Modules._make(column[order] for column in joined)
    return Detector(
        name=name,
        detid=modules.detid,
        layers=tuple(layers),
        layer=modules.layer.astype(np.int16),
        ladder=modules.ladder.astype(np.int16),
        module=modules.module.astype(np.int16),
        side=modules.side.astype(np.int16),
        position=modules.position,
        axis_row=modules.axis_row,
        axis_col=modules.axis_col,
        sensors=tuple(sensors),
        sensor=modules.sensor.astype(np.uint8),
        electrons_table=electrons.astype(np.float32)[None, :],
        response=np.zeros(len(order), np.uint8),
        cluster_threshold=np.full(len(order), cluster_threshold),
        seed_threshold=seed_threshold,
        channel_threshold=channel_threshold,
    )


def linear(adc_max: int, electrons_per_adc: float) -> NDArray[np.float64]:
    """Charge of the counts 0 to `adc_max` where it is proportional to them."""
    return np.arange(adc_max + 1, dtype=np.float64) * electrons_per_adc
