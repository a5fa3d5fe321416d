"""The dear part of a comparison: maps, and distances in many dimensions with their null values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.errors import FormatError
from pixlab.physics.fidelity import Number, fpd, kpd, manifolds, two_sample
from pixlab.physics.maps import maps
from pixlab.physics.sample import Sample, draw
from pixlab.progress import Progress

if TYPE_CHECKING:
    import hist
    import pandas

__all__ = ["DEEP_METRICS", "Deep", "Fidelity", "look"]

_MOST_DRAWN = 50_000  # by FPD, as jetnet recommends
_MOST_KERNEL = 5_000  # by KPD

# name -> label, and what it is
DEEP_METRICS = {
    "fpd": ("FPD", "Fréchet physics distance of the features, extrapolated to infinite samples"),
    "kpd": ("KPD", "kernel physics distance of the features, median of random draws"),
    "auc": (
        "classifier, AUC",
        "area under the ROC curve of gradient boosting that tells original from decoded, "
        "cross-validated; 0.5 is not at all",
    ),
    "precision": ("precision", "share of decoded clusters that lie among original ones"),
    "recall": ("recall", "share of original clusters that lie among decoded ones"),
    "density": (
        "density",
        "mean number of original neighbourhoods around a decoded cluster, over 5",
    ),
    "coverage": ("coverage", "share of original neighbourhoods that hold a decoded cluster"),
}


class Fidelity(NamedTuple):
    """One of `DEEP_METRICS` on the features of ``of`` ("clusters" or "modules").

    ``null`` is the same between two halves of the original.
    """

    metric: str
    of: str
    value: float
    error: float
    null: float
    null_error: float


@dataclass(frozen=True, eq=False)
class Deep:
    """What ``compare(deep=True)`` adds to a comparison; adds up with ``+`` as that does.

    Parameters
    ----------
    sample : Sample, optional
        Clusters and modules that the distances are measured on; not kept in JSON.
    maps : (dict, dict), optional
        `pixlab.physics.maps` of the original and of the decoded digis; not kept in JSON.
    measured : tuple of Fidelity, optional
        The distances, where they are known already.
    """

    sample: Sample | None
    maps: tuple[dict[str, hist.Hist], dict[str, hist.Hist]] | None
    measured: tuple[Fidelity, ...] | None = None

    @cached_property
    def fidelity(self) -> tuple[Fidelity, ...]:
        """The distances: measured when they are first asked for, which takes a while."""
        if self.measured is not None:
            return self.measured
        return tuple(measure(self.sample)) if self.sample is not None else ()

    @property
    def table(self) -> pandas.DataFrame:
        """The distances as a table: metric, of, value, error, null, null_error."""
        import pandas as pd

        return pd.DataFrame(self.fidelity, columns=list(Fidelity._fields))

    def settled(self, progress: Progress | None = None) -> Deep:
        """The same with its distances measured, and told about."""
        if self.sample is None or self.measured is not None:
            return self
        return Deep(self.sample, self.maps, tuple(measure(self.sample, progress)))

    def __add__(self, other: Deep) -> Deep:
        both = self.sample is not None and other.sample is not None
        sample = self.sample + other.sample if both else None  # type: ignore[operator]
        added = None
        if self.maps is not None and other.maps is not None:
            pairs = zip(self.maps, other.maps, strict=True)
            one, two = ({k: a[k] + b[k] for k in a} for a, b in pairs)
            added = one, two
        return Deep(sample, added)

    def to_dict(self) -> list[dict[str, Any]]:
        """The distances for JSON; what is no number is null."""
        return [
            {k: None if isinstance(v, float) and v != v else v for k, v in row._asdict().items()}
            for row in self.fidelity
        ]

    @staticmethod
    def from_dict(rows: Any) -> Deep:
        """What `to_dict` gave: distances alone.

        Raises
        ------
        FormatError
            If it is damaged.
        """
        try:
            found = []
            for row in rows:
                numbers = (row[k] for k in Fidelity._fields[2:])
                values = [float("nan") if x is None else float(x) for x in numbers]
                if row["metric"] not in DEEP_METRICS:
                    raise ValueError(f"there is no metric {str(row['metric'])[:40]!r}")
                found.append(Fidelity(row["metric"], str(row["of"]), *values))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"the distances of the comparison are damaged: {error}") from error
        return Deep(None, None, tuple(found))


def look(before: Clusters, after: Clusters) -> Deep:
    """Maps and sample of one chunk."""
    return Deep(draw(before, after), (maps(before.digis, before), maps(after.digis, after)))


def measure(sample: Sample, progress: Progress | None = None) -> Iterator[Fidelity]:
    """All distances of a sample."""
    steps = [*_of_clusters(sample), *_of_modules(sample)]
    for i, (of, name, step) in enumerate(steps):
        if progress is not None:
            progress(i / len(steps), f"{name} of {of}")
        real, null = step()
        for metric in real:
            yield Fidelity(metric, of, *real[metric], *null[metric])


_Numbers = dict[str, Number]
_Step = tuple[str, str, Callable[[], tuple[_Numbers, _Numbers]]]


def _of_clusters(sample: Sample) -> Iterator[_Step]:
    frames = [sample.frame(side) for side in (0, 1)]
    parts = [sample.part[f] for f in frames]
    layers = [sample.layer[f] for f in frames]
    features = list(sample.clusters)
    half, other = (parts[0] % 2 == k for k in (0, 1))
    yield from _distances("clusters", features, parts, layers)

    def nearby() -> tuple[_Numbers, _Numbers]:
        # decoded clusters of the other half, so that none stands beside its own image
        decoded = parts[1] % 2 == 1
        folds = (parts[0][half] // 2, parts[1][decoded] // 2)
        null = (parts[0][half] // 2, parts[0][other] // 2)
        one = features[0][half]
        return (
            manifolds(one, features[1][decoded], folds),
            manifolds(one, features[0][other], null),
        )

    yield "clusters", "precision, recall, density, coverage", nearby


def _of_modules(sample: Sample) -> Iterator[_Step]:
    features, parts, layers = [], [], []
    for side in (0, 1):
        hit = sample.modules[side, :, 0] > 0
        features.append(sample.modules[side, hit])
        parts.append(sample.part[hit])
        layers.append(sample.layer[hit])
    return _distances("modules", features, parts, layers)


def _distances(
    of: str, features: list[NDArray], parts: list[NDArray], layers: list[NDArray]
) -> Iterator[_Step]:
    real, decoded = features
    half, other = (parts[0] % 2 == k for k in (0, 1))
    with_layer = [
        np.append(x, layer[:, None].astype(x.dtype), axis=1)
        for x, layer in zip(features, layers, strict=True)
    ]

    def frechet(a: NDArray, b: NDArray) -> _Numbers:
        most = min(_MOST_DRAWN, len(a), len(b))
        return {"fpd": fpd(a, b, min_samples=max(2, int(0.4 * most)), max_samples=max(3, most))}

    def kernel(a: NDArray, b: NDArray) -> _Numbers:
        return {"kpd": kpd(a, b, batch_size=max(2, min(_MOST_KERNEL, len(a), len(b))))}

    def classifier(a: NDArray, b: NDArray, first: NDArray, second: NDArray) -> _Numbers:
        return {"auc": two_sample(a, b, (first // 2, second // 2))}

    yield of, "FPD", lambda: (frechet(real, decoded), frechet(real[half], real[other]))
    yield of, "KPD", lambda: (kernel(real, decoded), kernel(real[half], real[other]))
    yield (
        of,
        "classifier",
        lambda: (
            classifier(with_layer[0], with_layer[1], *parts),
            classifier(with_layer[0][half], with_layer[0][other], parts[0][half], parts[0][other]),
        ),
    )
