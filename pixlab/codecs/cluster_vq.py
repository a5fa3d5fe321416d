"""`ClusterVQ`: the hit map exactly, and of each cluster its charge and its barycentre.

::

    hit map ──────────────────────────────────► positions, shapes      (exact)
    clusters ── charge Q ──► step of a logarithmic scale, dithered ──► charges
             └─ barycentre ─► point of a lattice in (row, column) ───► tilts
    clusters that these do not describe ──────► their counts            explicit

Gain and shape are quantised apart. The gain is the cluster's total count, in steps of a
logarithmic scale that is shifted from cluster to cluster (subtractive dither, L. Schuchman, 1964):
the error is uniform and the charge spectrum keeps its shape. The shape is what moves the
reconstructed hit: the offset of the charge-weighted barycentre from the middle of the hit pixels,
taken to the nearest point of a rectangular lattice. `moments` paints pixels with that total and
barycentre. What the tolerances of physics ask of a cluster is kept; how its charge is spread over
pixels otherwise is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.codecs.base import Chunk
from pixlab.codecs.hitmaps import ContextCodec, ContextModel, to_digis, to_hits
from pixlab.codecs.moments import MAX_SPAN, UNIT, paint, shifts
from pixlab.coding.hits import HitCoder
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.numbers import decode_numbers, encode_numbers
from pixlab.coding.symbols import Symbols
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

__all__ = ["ClusterVQ", "ClusterVQModel"]

Array = NDArray[Any]
_PHASES = 16  # shifts of the charge scale
_ROOM = 4  # the scale goes on to this many times the largest charge that was seen
_WIDEST = 255  # lattice points to each side, at most
_ASTRAY = 1.5  # lattice constants by which a barycentre may miss before its cluster is explicit
_MOST_STEPS = 1023
_FEATURES = 11  # of a cluster; the last two know what was said of it before


class ClusterVQ(ContextCodec):
    """Gain-shape vector quantisation of clusters on an exact hit map."""

    key = "cluster-vq"
    searched = ("charge_step", "row_step", "col_step")

    charge_step = param.Number(
        default=0.14, bounds=(0.03, 2.0), doc="step of the cluster charge, as a fraction of it"
    )
    row_step = param.Number(
        default=0.097,
        bounds=(0.01, 8.0),
        doc="lattice constant of the barycentre along rows, pixels",
    )
    col_step = param.Number(
        default=0.15,
        bounds=(0.01, 8.0),
        doc="lattice constant of the barycentre along columns, pixels",
    )

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> ClusterVQModel:
        """Learn the range of charges and offsets, and how likely each is where.

        Raises
        ------
        PixlabError
            If there is no digi to learn from.
        """
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn from", "fit on other events")
        clusters = cluster(digis, thresholds=False)
        found = shifts(clusters.digi_offsets, clusters.digis_of, digis.row, digis.col, digis.adc)
        n_steps = int(np.log(_ROOM * max(int(found[:, 0].max()), 1)) / self.charge_step) + 2
        n_steps = min(n_steps, _MOST_STEPS)
        scale = np.exp(np.arange(n_steps * _PHASES) * (self.charge_step / _PHASES))
        # the mean of exp(u) over a step is above 1: without this, charges would grow on average
        scale /= np.sinh(self.charge_step / 2) / (self.charge_step / 2)
        arrays = {
            "slopes": track_slopes(digis.detector),
            "charges": np.minimum(np.rint(scale), 2**31).astype(np.uint32),
            "limits": np.array([digis.adc.min(), digis.adc.max()], np.uint16),
            "row_codes": _lattice(found[:, 1], self.row_step),
            "col_codes": _lattice(found[:, 2], self.col_step),
        }
        layout = make_layout(digis.detector, arrays["slopes"])
        arrays |= HitCoder.learn(layout, len(digis), to_hits(digis), reuse=self.reuse)
        for name, n_symbols in _symbols(arrays).items():
            arrays |= Symbols.blank(name, n_symbols)
        blank = ClusterVQModel(self, digis.detector, arrays)
        tokens = blank._tokens(digis, clusters)
        for name, (features, symbols) in blank._say(clusters, tokens).items():
            arrays |= Symbols.learn(
                name, features, symbols, _symbols(arrays)[name], reuse=self.reuse
            )
        return ClusterVQModel(self, digis.detector, arrays)


def _symbols(arrays: Mapping[str, Array]) -> dict[str, int]:
    """What is said of a cluster, and the number of symbols for it."""
    return {
        "gain": len(arrays["charges"]) // _PHASES + 1,
        "row": max(len(arrays["row_codes"]), 2),
        "col": max(len(arrays["col_codes"]), 2),
    }


@dataclass(frozen=True)
class _Tokens:
    """What is said of clusters: ``gain`` 0 for an explicit one, else step + 1; ``row``, ``col``
    lattice points; ``adc`` of the digis, painted or kept.
    """

    gain: Array
    row: Array
    col: Array
    adc: Array


class ClusterVQModel(ContextModel):
    """A fitted `ClusterVQ`."""

    codec: ClusterVQ

    needs = (*ContextModel.needs, "charges", "limits", "row_codes", "col_codes")

    def __post_init__(self) -> None:
        super().__post_init__()
        charges, limits = self.arrays["charges"], self.arrays["limits"]
        codes = [self.arrays["row_codes"], self.arrays["col_codes"]]
        good = (
            charges.ndim == 1
            and charges.dtype == np.uint32
            and 0 < len(charges) <= _PHASES * _MOST_STEPS
            and len(charges) % _PHASES == 0
            and charges.max() <= 2**31
            and limits.shape == (2,)
            and limits.dtype == np.uint16
            and limits[0] <= limits[1] <= self.detector.adc_max
            and all(c.ndim == 1 and c.dtype == np.int16 for c in codes)
            and all(0 < len(c) <= 2 * _WIDEST + 1 and (np.diff(c) > 0).all() for c in codes)
        )
        if not good:
            raise FormatError("the tables of the model are damaged")

    @cached_property
    def _coders(self) -> dict[str, Symbols]:
        return {
            name: Symbols(name, self.arrays, _FEATURES, n_symbols)
            for name, n_symbols in _symbols(self.arrays).items()
        }

    # -- quantisation -----------------------------------------------------------------------
    def quantize(self, digis: Digis) -> Digis:
        """The same pixels, with the counts that clusters are painted with."""
        self.check(digis)
        return digis.with_adc(self._tokens(digis, cluster(digis, thresholds=False)).adc)

    def _tokens(self, digis: Digis, clusters: Clusters) -> _Tokens:
        offsets, members = clusters.digi_offsets, clusters.digis_of
        found = shifts(offsets, members, digis.row, digis.col, digis.adc)
        charge = found[:, 0]
        charges, top = self.arrays["charges"].astype(np.int64), int(self.arrays["limits"][1])
        step, phase = self.codec.charge_step, self._phase(clusters)
        place = np.log(np.maximum(charge, 1)) / step - phase / _PHASES
        gain = np.clip(np.rint(place), 0, len(charges) // _PHASES - 1).astype(np.int64)
        kept = np.minimum(charges[gain * _PHASES + phase], clusters.size.astype(np.int64) * top)
        # charges at the end of the scale, counts above those seen, and long clusters: explicit
        far = np.abs(kept - charge) > step * charge + 2
        largest = np.zeros(len(clusters), np.int64)
        np.maximum.at(largest, clusters.label, digis.adc.astype(np.int64))
        span = np.maximum(clusters.size_row, clusters.size_col)
        explicit = far | (largest > top) | (span > MAX_SPAN)
        tokens = _Tokens(
            np.where(explicit, 0, gain + 1),
            _nearest(self.arrays["row_codes"], found[:, 1]),
            _nearest(self.arrays["col_codes"], found[:, 2]),
            np.array(digis.adc),
        )
        self._paint(digis, clusters, tokens)
        # thresholds, saturation or the end of the lattice may keep a barycentre from its place
        painted = shifts(offsets, members, digis.row, digis.col, tokens.adc)
        steps = np.array([self.codec.row_step, self.codec.col_step]) * UNIT
        astray = (np.abs(painted[:, 1:] - found[:, 1:]) > _ASTRAY * steps + 1).any(axis=1)
        tokens.gain[astray] = 0
        kept_as_is = _explicit_digis(clusters, tokens.gain)
        tokens.adc[kept_as_is] = digis.adc[kept_as_is]
        return tokens

    def _phase(self, clusters: Clusters) -> Array:
        """Shift of the charge scale of each cluster, from its place alone: int64[clusters]."""
        # a multiplicative hash (D. Knuth, The Art of Computer Programming, vol. 3, 6.4)
        place = [clusters.module, clusters.min_row, clusters.min_col]
        mixed = np.zeros(len(clusters), np.uint64)
        for column, factor in zip(place, (2654435761, 2246822519, 3266489917), strict=True):
            mixed += column.astype(np.uint64) * np.uint64(factor)
        return ((mixed >> np.uint64(15)) & np.uint64(_PHASES - 1)).astype(np.int64)

    def _paint(self, digis: Digis, clusters: Clusters, tokens: _Tokens) -> None:
        """Fill in the counts of all clusters but explicit ones."""
        floor, top = (int(v) for v in self.arrays["limits"])
        needs_row, needs_col = _needed(clusters)
        row_codes, col_codes = (self.arrays[k].astype(np.int64) for k in ("row_codes", "col_codes"))
        charges = self.arrays["charges"].astype(np.int64)
        at = np.maximum(tokens.gain - 1, 0) * _PHASES + self._phase(clusters)
        charge = np.minimum(charges[at], clusters.size.astype(np.int64) * top)
        span = np.maximum(clusters.size_row, clusters.size_col)
        paint(
            clusters.digi_offsets,
            clusters.digis_of,
            digis.row,
            digis.col,
            np.where((tokens.gain > 0) & (span <= MAX_SPAN), charge, -1),
            np.where(needs_row, row_codes[tokens.row], 0),
            np.where(needs_col, col_codes[tokens.col], 0),
            floor,
            top,
            tokens.adc,
        )

    # -- bytes ------------------------------------------------------------------------------
    def _features(self, clusters: Clusters) -> NDArray[np.uint8]:
        """What is known of clusters from their pixels alone."""
        layout, module = self.layout, clusters.module
        first, last = layout.slopes[module, :2].T.astype(np.int64)
        slope = first + (last - first) * clusters.min_col // layout.cols[module]
        size = clusters.size.astype(np.int64)
        pattern = _patterns(clusters)
        found = np.zeros((len(clusters), _FEATURES), np.uint8)
        columns = (
            size, layout.layer[module], np.abs(slope) >> 2, (slope >> 3) + 128,
            clusters.size_row, clusters.size_col,
            size - np.maximum(clusters.size_row, clusters.size_col), pattern & 31, pattern >> 5,
        )  # fmt: skip
        for i, column in enumerate(columns):
            found[:, i] = np.clip(column, 0, 255)
        return found

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        sections = self.hit_coder.encode(len(digis), to_hits(digis))
        clusters = cluster(digis, thresholds=False)
        tokens = self._tokens(digis, clusters)
        for name, (features, symbols) in self._say(clusters, tokens).items():
            sections[name] = self._coders[name].encode(features, symbols)
        kept = tokens.adc[_explicit_digis(clusters, tokens.gain)]
        return sections | {"explicit": encode_numbers(kept)}

    def _say(self, clusters: Clusters, tokens: _Tokens) -> dict[str, tuple[Array, Array]]:
        """Features and symbols of all that is said of clusters."""
        features = self._features(clusters)
        needs_row, needs_col = _asked(clusters, tokens.gain)
        said = {"gain": (features.copy(), tokens.gain)}
        features[:, -2] = _byte(tokens.gain // 2)
        said["row"] = (features[needs_row], tokens.row[needs_row])
        features[needs_row, -1] = _byte(tokens.row[needs_row] + 1)
        return said | {"col": (features[needs_col], tokens.col[needs_col])}

    def _decode(self, chunk: Chunk) -> Digis:
        hits = self.hit_coder.decode(chunk.n_events, chunk.n_digis, chunk.sections)
        digis = to_digis(self.detector, chunk.n_events, hits, np.zeros(len(hits.row), np.uint16))
        clusters = cluster(digis, thresholds=False)
        features = self._features(clusters)
        gain = self._coders["gain"].decode(features, chunk.sections["gain"])
        needs_row, needs_col = _asked(clusters, gain)
        row, col = np.zeros((2, len(clusters)), np.int64)
        features[:, -2] = _byte(gain // 2)
        row[needs_row] = self._coders["row"].decode(features[needs_row], chunk.sections["row"])
        features[needs_row, -1] = _byte(row[needs_row] + 1)
        col[needs_col] = self._coders["col"].decode(features[needs_col], chunk.sections["col"])
        if row.max(initial=0) >= len(self.arrays["row_codes"]) or col.max(initial=0) >= len(
            self.arrays["col_codes"]
        ):
            raise FormatError("a symbol is outside its table")
        adc = np.zeros(digis.n_digis, np.uint16)
        explicit = _explicit_digis(clusters, gain)
        counts = decode_numbers(chunk.sections["explicit"], int(explicit.sum()))
        if counts.max(initial=0) > self.detector.adc_max:
            raise FormatError("an explicit count is outside the detector's range")
        adc[explicit] = counts
        self._paint(digis, clusters, _Tokens(gain, row, col, adc))
        return digis.with_adc(adc)


def _lattice(offsets: Array, step: float) -> NDArray[np.int16]:
    """Lattice points (1/256 pixel) that cover all but the rarest offsets."""
    reach = float(np.quantile(np.abs(offsets), 0.9999)) if len(offsets) else 0.0
    unit = max(step * UNIT, 1.0)
    side = min(int(np.ceil(reach / unit)), _WIDEST, int(32767 / unit))
    return np.rint(np.arange(-side, side + 1) * unit).astype(np.int16)


def _nearest(codes: Array, values: Array) -> Array:
    """Index of the nearest code; the lower one of two equally near."""
    middles = (codes[1:].astype(np.int64) + codes[:-1]) / 2
    return np.searchsorted(middles, values).astype(np.int64)


def _needed(clusters: Clusters) -> tuple[Array, Array]:
    """Whether the barycentre of a cluster can move along rows, and along columns on its own."""
    col = clusters.size_col > 1
    row = (clusters.size_row > 1) & ~(col & (clusters.size == 2))
    return row, col


def _asked(clusters: Clusters, gain: Array) -> tuple[Array, Array]:
    """Whether the offset of a cluster is written: where it can move and is not explicit."""
    row, col = _needed(clusters)
    return row & (gain > 0), col & (gain > 0)


def _explicit_digis(clusters: Clusters, gain: Array) -> Array:
    """Which digis belong to explicit clusters: bool[digis]."""
    return (gain == 0)[clusters.label]


def _patterns(clusters: Clusters) -> Array:
    """The hit pixels of clusters of up to 2 x 5 as a bit mask; larger ones folded: int64[clusters]."""
    digis, label = clusters.digis, clusters.label
    down = np.minimum(digis.row - clusters.min_row[label], 1)
    right = (digis.col - clusters.min_col[label]) % 5
    masks = np.zeros(len(clusters), np.int64)
    np.bitwise_or.at(masks, label, 1 << (down * 5 + right).astype(np.int64))
    return masks


def _byte(values: Array) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)
