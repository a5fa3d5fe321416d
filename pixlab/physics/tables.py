"""The contents of a comparison as tables of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.physics.distances import chi2_per_bin, jensen_shannon, ks, wasserstein
from pixlab.physics.errors import jackknife
from pixlab.physics.pairs import PAIRS, SHIFT_SIZES
from pixlab.physics.spectra import SPECTRA
from pixlab.physics.totals import Halves, Sums, Totals

if TYPE_CHECKING:
    import pandas

__all__ = [
    "DISTANCES",
    "by_layer",
    "distances",
    "plain",
    "quantile",
    "records",
    "response",
    "shifts",
]

_QUANTILES = (0.01, 0.16, 0.5, 0.84, 0.99)

# name -> the distance of a spectrum in each layer
DISTANCES: dict[str, Callable[[Sums, str], NDArray[np.float64]]] = {
    "ks": lambda t, name: ks(*t.histogram(name)),
    "chi2_ndf": lambda t, name: chi2_per_bin(*t.histogram(name)),
    "wasserstein": lambda t, name: wasserstein(*t.histogram(name), t.edges(name)),
    "jensen_shannon": lambda t, name: jensen_shannon(*t.histogram(name)),
}


def by_layer(
    values: Mapping[str, NDArray[np.float64]], layers: tuple[str, ...]
) -> pandas.DataFrame:
    """Metrics (rows) by layers (columns)."""
    import pandas as pd

    table = pd.DataFrame.from_dict(values, orient="index", columns=list(layers))
    return table.rename_axis(index="metric", columns="layer")


def plain(value: Any) -> Any:
    """Nested dicts and lists with None in place of what is no number, for JSON."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def records(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, for JSON."""
    return plain(table.to_dict(orient="records"))


def distances(totals: Totals) -> pandas.DataFrame:
    """Every distance of every spectrum in each layer.

    Returns
    -------
    DataFrame
        One row each: ``spectrum``, ``distance``, ``layer``, ``value``, ``error`` (jackknife, in
        wider bins) and ``null``, the value between two halves of the original. The Wasserstein
        distance is in the unit of the spectrum, Jensen-Shannon in bits, the others have none.
    """
    import pandas as pd

    layers, halves = (*totals.detector.layers, "all"), Halves(totals)
    rows: list[tuple[Any, ...]] = []
    for name in SPECTRA:
        for kind, distance in DISTANCES.items():
            numbers = (
                distance(totals, name),
                jackknife(totals, lambda t, d=distance, n=name: d(t, n)),  # type: ignore[misc]
                distance(halves, name),
            )
            rows += zip([name] * len(layers), [kind] * len(layers), layers, *numbers, strict=True)
    return pd.DataFrame(rows, columns=["spectrum", "distance", "layer", "value", "error", "null"])


def quantile(
    counts: NDArray[np.int64], edges: NDArray[np.float64], q: float
) -> NDArray[np.float64]:
    """Middle of the bin that holds a quantile, last axis the bins with underflow and overflow.

    Minus or plus infinity where it is among those; NaN where there is no entry.
    """
    total = counts.sum(axis=-1, keepdims=True)
    middle = np.concatenate([[-np.inf], (edges[1:] + edges[:-1]) / 2, [np.inf]])
    at = (np.cumsum(counts, axis=-1) < q * total).sum(axis=-1)
    return np.where(total[..., 0] > 0, middle[np.minimum(at, len(middle) - 1)], np.nan)


def response(totals: Totals) -> pandas.DataFrame:
    """Decoded over original cluster charge of matched clusters.

    Returns
    -------
    DataFrame
        One row a layer: ``clusters``, ``mean``, ``rms`` (around 1) and quantiles ``q1`` to ``q99``
        in percent, to the 0.1% of their bins.
    """
    import pandas as pd

    counts = totals.pairs["response"][:, 0]
    counts = np.concatenate([counts, counts.sum(axis=0, keepdims=True)])
    edges = PAIRS["response"].edges(totals.detector)
    n = totals.sum("matched")
    some = np.where(n > 0, n, np.nan)
    columns = {
        "clusters": n.astype(np.int64),
        "mean": 1 + totals.sum("response") / some,
        "rms": np.sqrt(totals.sum("response2") / some),
    }
    columns |= {f"q{100 * q:g}": quantile(counts, edges, q) for q in _QUANTILES}
    return pd.DataFrame(columns, index=pd.Index([*totals.detector.layers, "all"], name="layer"))


def shifts(totals: Totals) -> pandas.DataFrame:
    """Decoded - original barycentre of matched clusters, um, by size of the original along it.

    Returns
    -------
    DataFrame
        One row each: ``axis`` ("row", "col"), ``layer``, ``size`` ("1" to "6+", "any"),
        ``clusters``, ``mean``, ``rms``, ``width`` (half of what holds the middle 68%) and ``beyond``
        (share of shifts by more than two pixels, which are in `width` alone).
    """
    import pandas as pd

    return pd.DataFrame(list(_shift_rows(totals)))


def _shift_rows(totals: Totals) -> Iterator[dict[str, Any]]:
    sizes = [*map(str, range(1, SHIFT_SIZES)), f"{SHIFT_SIZES}+", "any"]
    for axis in ("row", "col"):
        spectrum = PAIRS[f"shift_{axis}"]
        edges = spectrum.edges(totals.detector)
        middle = (edges[1:] + edges[:-1]) / 2
        counts = totals.pairs[f"shift_{axis}"]
        counts = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
        counts = np.concatenate([counts, counts.sum(axis=0, keepdims=True)])
        for layer, of_layer in zip((*totals.detector.layers, "all"), counts, strict=True):
            for size, own in zip(sizes, of_layer, strict=True):
                inside, total = own[1:-1], own.sum()
                n = inside.sum()
                mean = (inside * middle).sum() / n if n else np.nan
                width = quantile(own, edges, 0.84) - quantile(own, edges, 0.16) if total else np.nan
                yield {
                    "axis": axis,
                    "layer": layer,
                    "size": size,
                    "clusters": int(total),
                    "mean": mean,
                    "rms": np.sqrt((inside * middle**2).sum() / n) if n else np.nan,
                    "width": width / 2,
                    "beyond": 1 - n / total if total else np.nan,
                }
