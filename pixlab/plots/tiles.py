"""Where the modules of a layer stand when it is unrolled, and what each of them holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis

__all__ = ["Tiles", "module_sums", "place_modules"]


@dataclass(frozen=True)
class Tiles:
    """The modules of one layer as tiles of a plane.

    Parameters
    ----------
    modules : intp[n]
        Indices into the detector's module table.
    x, y : float64[n]
        Centre of each tile; tiles stand one apart.
    x_label, y_label : str
        What the axes are.
    y_ticks : dict of float to str, optional
        Names of places on the y axis, where numbers say too little.
    """

    modules: NDArray[np.intp]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_label: str
    y_label: str
    y_ticks: dict[float, str] | None = None


def place_modules(detector: Detector, layer: str) -> Tiles:
    """Unroll a layer.

    Barrel modules stand at ladder and module, forward ones at blade and panel, by side; modules of
    a detector without such numbers stand in reading order.
    """
    own = np.flatnonzero(detector.in_layer(layer))
    ladder, module, side = (
        getattr(detector, k)[own].astype(float) for k in ("ladder", "module", "side")
    )
    forward = bool(np.any(side))
    panels = module.max(initial=1)
    y = module + np.where(side > 0, panels + 0.5, 0.0) if forward else module
    if len(np.unique(np.stack([ladder, y]), axis=1).T) < len(own):
        width = int(np.ceil(np.sqrt(2 * len(own))))
        place = np.arange(len(own)).astype(float)
        return Tiles(own, place % width, place // width, "place", "row of places")
    if forward:
        names = {
            float(at): f"{'+' if s > 0 else '-'}z panel {m:.0f}"
            for at, s, m in zip(y, side, module, strict=True)
        }
        return Tiles(own, ladder, y, "blade", "", {at: names[at] for at in sorted(names)})
    ticks = {float(m): f"{m:.0f}" for m in np.unique(module)} if panels < 20 else None
    return Tiles(own, ladder, y, "ladder", "module", ticks)


def module_sums(digis: Digis) -> NDArray[np.int64]:
    """Digis of each module of the detector, all events together: int64[modules]."""
    sizes = np.diff(digis.frames.offsets)
    n = len(digis.detector)
    return np.bincount(digis.frames.module, sizes, minlength=n).astype(np.int64)
