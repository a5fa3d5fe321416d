"""All digis of a detector on one picture: their places, and datashader's picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.physics import pixel_pairs

if TYPE_CHECKING:
    import pandas

__all__ = ["PROJECTIONS", "Cloud", "Raster", "extent", "has_places", "rasterize"]

# name -> columns and axis labels
PROJECTIONS: dict[str, tuple[str, str, str, str]] = {
    "z-φ": ("z", "phi", "z [cm]", "φ [rad]"),
    "x-y": ("x", "y", "x [cm]", "y [cm]"),
}
_PART = 1 << 18  # digis placed at a time, so that memory stays bounded


def has_places(digis: Digis) -> bool:
    """Whether the modules of a detector stand at different places."""
    return len(digis.detector) > 1 and bool(np.ptp(digis.detector.position, axis=0).max() > 0)


def extent(detector: Detector, layers: Sequence[int], projection: str) -> list[tuple[float, float]]:
    """Ends of both axes of a projection, so that the modules of some layers are inside."""
    own = np.flatnonzero(np.isin(detector.layer, list(layers)))
    rows, cols = detector.rows[own].astype(float), detector.cols[own].astype(float)
    corners = [
        detector.positions(own, rows * up, cols * across) for up in (0, 1) for across in (0, 1)
    ]
    x, y, z = np.concatenate(corners).T
    if projection == "x-y":
        reach = 1.03 * float(np.hypot(x, y).max())
        return [(-reach, reach)] * 2
    room = 0.02 * float(np.ptp(z)) or 1.0
    return [(float(z.min()) - room, float(z.max()) + room), (-1.02 * np.pi, 1.02 * np.pi)]


@dataclass(frozen=True)
class Cloud:
    """Every pixel that is hit in the original or in the decoded events, with its place.

    Parameters
    ----------
    original, decoded : Digis
        The same events.
    """

    original: Digis
    decoded: Digis

    @cached_property
    def table(self) -> pandas.DataFrame:
        """One row a pixel and event, in the order of the original, then those invented.

        ``x, y, z`` in cm, ``phi`` in rad: float32; ``module``: index into the detector's modules;
        ``row, col``; ``adc, decoded``: float32, NaN where there is no hit on that side; ``delta``:
        float32, where a missing hit counts as zero charge.
        """
        import pandas as pd

        a, b = self.original, self.decoded
        in_a, in_b = pixel_pairs(a, b)
        invented = np.ones(b.n_digis, bool)
        invented[in_b] = False
        after = np.full(a.n_digis, np.nan, np.float32)
        after[in_a] = b.adc[in_b]
        gap = np.full(int(invented.sum()), np.nan, np.float32)
        columns = {
            "module": np.concatenate([a.module, b.module[invented]]),
            "row": np.concatenate([a.row, b.row[invented]]),
            "col": np.concatenate([a.col, b.col[invented]]),
            "adc": np.concatenate([a.adc.astype(np.float32), gap]),
            "decoded": np.concatenate([after, b.adc[invented].astype(np.float32)]),
        }
        columns["delta"] = np.nan_to_num(columns["decoded"]) - np.nan_to_num(columns["adc"])
        return pd.DataFrame(columns | self._places(columns), copy=False)

    def _places(self, columns: dict[str, NDArray]) -> dict[str, NDArray[np.float32]]:
        n = len(columns["module"])
        found = {name: np.empty(n, np.float32) for name in ("x", "y", "z", "phi")}
        for start in range(0, n, _PART):
            part = slice(start, start + _PART)
            module, row, col = (columns[k][part] for k in ("module", "row", "col"))
            place = self.original.detector.positions(module, row + 0.5, col + 0.5)
            found["x"][part], found["y"][part], found["z"][part] = place.T
            found["phi"][part] = np.arctan2(place[:, 1], place[:, 0])
        return found


@dataclass(frozen=True)
class Raster:
    """A picture of digis.

    Parameters
    ----------
    image : float32[height, width]
        Sum of a quantity in each cell; NaN where there is no digi.
    digis : int
        How many are inside.
    top : float
        What 95% of the filled cells are below, at least 1.
    """

    image: NDArray[np.float32]
    digis: int
    top: float


def rasterize(
    table: pandas.DataFrame,
    projection: str,
    quantity: Literal["adc", "decoded", "delta"],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    size: tuple[int, int],
) -> Raster:
    """Sum a quantity of the digis in each cell of a picture, with datashader.

    Parameters
    ----------
    table : DataFrame
        ``Cloud.table``, or some rows of it.
    projection : str
        One of `PROJECTIONS`.
    quantity : {"adc", "decoded", "delta"}
        What is summed.
    x_range, y_range : (float, float)
        What is seen.
    size : (int, int)
        Cells across and up.
    """
    import datashader as ds
    import pandas as pd

    x, y, *_ = PROJECTIONS[projection]
    # datashader compiles for each set of names: one set for all
    columns = {"x": x, "y": y, "value": quantity}
    plain = pd.DataFrame({k: table[v].to_numpy() for k, v in columns.items()}, copy=False)
    canvas = ds.Canvas(size[0], size[1], x_range, y_range)
    found = canvas.points(plain, "x", "y", ds.summary(n=ds.count("value"), total=ds.sum("value")))
    n = found["n"].to_numpy()
    image = np.where(n > 0, found["total"].to_numpy(), np.nan).astype(np.float32)
    filled = np.abs(image[n > 0])
    top = float(np.quantile(filled, 0.95)) if len(filled) else 1.0
    return Raster(image, int(n.sum()), max(top, 1.0))
