"""What lossless coding cannot go below, estimated from the events themselves.

Three parts, in bits a digi, of events to which nothing is known but the detector:

* **positions**: a *start* is a hit without a hit among the four neighbours that come earlier when
  pixels are visited column by column. Where k starts are in a module of N pixels costs
  log2(N over k) bits, if every place is as likely; how many there are costs the entropy of k among
  modules of the same layer and the same distance from the collision.
* **shapes**: whether each pixel next to an earlier hit is hit, given the ten pixels around it that
  come earlier, and the layer: the conditional entropy of the frequencies found. A model that sees
  more than ten neighbours may do better; this one is an estimate, not a bound.
* **noise**: the entropy of a count whose charge is known but for the noise of the readout (by
  default 175 e, `pixelNoise` of CMS: SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py),
  averaged over the counts found. No lossless code can spend less on the counts.

A codec that keeps the hit map needs positions and shapes; a lossless one needs all three and what
physics adds to the charge beyond noise. Frequencies are corrected for their own fluctuations
(G. Miller, 1955: (filled bins - 1) / 2 N nats).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.columns import column_order
from pixlab.detectors import Detector
from pixlab.digis import Digis

__all__ = ["READOUT_NOISE", "FloorCounts", "floors"]

Array = NDArray[Any]
READOUT_NOISE = 175.0  # electrons; of the detectors below, whose charge is known in electrons
_WITH_ELECTRONS = ("phase0", "phase1", "phase1-run3", "phase2")
_CONTEXTS = 1 << 10
_MOST_STARTS = 4096  # of one module; all above count as one


def floors(events: Digis | Iterable[Digis], *, noise: float | None = None) -> dict[str, float]:
    """Bits a digi of positions, shapes and noise, and their sums.

    Parameters
    ----------
    events : Digis or iterable of Digis
        Events of one detector, or blocks of them.
    noise : float, optional
        Readout noise in electrons. Default: 175 for CMS detectors; unknown for others, where
        ``noise`` and ``lossless`` are NaN.

    Returns
    -------
    dict
        ``positions``, ``shapes``, ``hit_map`` (their sum), ``noise``, ``lossless`` (all of them).

    Examples
    --------
    >>> import pixlab
    >>> from pixlab.study import floors
    >>> found = floors(pixlab.samples.load("phase1-pu60")[:2])
    >>> 4 < found["hit_map"] < 6 and 2 < found["noise"] < 3
    True
    """
    counts: FloorCounts | None = None
    for block in [events] if isinstance(events, Digis) else events:
        counts = counts or FloorCounts(block.detector)
        counts.add(block)
    if counts is None or not counts.n_digis:
        return dict.fromkeys(("positions", "shapes", "hit_map", "noise", "lossless"), float("nan"))
    return counts.finish(noise)


class FloorCounts:
    """Frequencies of the events seen so far.

    Parameters
    ----------
    detector : Detector
        Of all of them.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.n_digis = self.n_events = 0
        self._places = 0.0  # bits
        self._alike = _alike(detector)
        groups = int(self._alike.max(initial=-1)) + 1
        self._starts = np.zeros((groups, _MOST_STARTS), np.int64)
        self._shapes = np.zeros((len(detector.layers), _CONTEXTS, 2), np.int64)
        self._adc = np.zeros(detector.electrons_table.shape, np.int64)

    def add(self, digis: Digis) -> None:
        """Count these events too."""
        detector, frames = self.detector, digis.frames
        self.n_digis += digis.n_digis
        self.n_events += len(digis)
        columns = (frames.offsets, digis.row, digis.col, detector.cols, frames.module)
        offsets, row, col, n_cols, module = (np.array(c) for c in columns)  # writable, for kernels
        order = column_order(offsets, row, col, n_cols, module)
        starts = np.zeros(len(module), np.int64)
        rows, cols, layer = (
            side.astype(np.int64)[module] for side in (detector.rows, detector.cols, detector.layer)
        )
        _count_shapes(
            offsets, row[order], col[order], rows, cols, layer,
            starts, self._shapes,
        )  # fmt: skip
        pixels = rows * cols
        self._places += float(_log2_choose(pixels, starts).sum())
        some = np.bincount(self._alike[module], minlength=len(self._starts))
        group = self._alike[module]
        np.add.at(self._starts, (group, np.minimum(starts, _MOST_STARTS - 1)), 1)
        # modules without a hit have no frame
        self._starts[:, 0] += len(digis) * np.bincount(self._alike, minlength=len(some)) - some
        np.add.at(self._adc, (detector.response[digis.module], digis.adc), 1)

    def finish(self, noise: float | None = None) -> dict[str, float]:
        """Bits a digi of each part; see `floors`."""
        if noise is None and self.detector.name in _WITH_ELECTRONS:
            noise = READOUT_NOISE
        numbers = sum(_entropy(group) for group in self._starts)
        decisions = self._shapes.reshape(-1, 2)
        positions = (self._places + numbers) / self.n_digis
        shapes = sum(_entropy(pair) for pair in decisions[decisions.min(axis=1) > 0])
        shapes /= self.n_digis
        of_noise = float("nan") if noise is None else self._noise(noise)
        found = {"positions": positions, "shapes": shapes, "hit_map": positions + shapes}
        found |= {"noise": of_noise, "lossless": positions + shapes + of_noise}
        return {name: float(bits) for name, bits in found.items()}

    def _noise(self, noise: float) -> float:
        """Mean entropy of a count around each count found, where the charge is what that says."""
        from scipy.stats import norm

        total = 0.0
        for electrons, seen in zip(self.detector.electrons_table, self._adc, strict=True):
            found = np.flatnonzero(seen)
            if not len(found):
                continue
            # below the smallest count found is the threshold, at the largest one full scale
            charge = electrons[found[0] : found[-1] + 1].astype(float)
            if len(charge) < 2:
                continue
            below = charge[0] - (charge[1] - charge[0]) / 2
            edges = np.concatenate([[below], (charge[1:] + charge[:-1]) / 2, [np.inf]])
            for adc in found:
                shares = np.diff(norm.cdf((edges - charge[adc - found[0]]) / max(noise, 1e-9)))
                shares = shares[shares > 0] / shares.sum()
                total -= seen[adc] * float((shares * np.log2(shares)).sum())
        return total / self.n_digis


def _alike(detector: Detector) -> NDArray[np.int64]:
    """Class of each module: those of one layer, shape and distance along and from the beam."""
    keys = [
        detector.layer,
        detector.rows,
        detector.cols,
        np.rint(np.abs(detector.position[:, 2])),
        np.rint(detector.radius),
    ]
    _, group = np.unique(np.stack([k.astype(np.int64) for k in keys]), axis=1, return_inverse=True)
    return group.reshape(-1)


def _log2_choose(n: Array, k: Array) -> Array:
    from scipy.special import gammaln

    return (gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)) / np.log(2)


def _entropy(counts: Array) -> float:
    """Bits that naming the bin of every entry takes, corrected for the fluctuations of counts."""
    filled = counts[counts > 0].astype(float)
    n = filled.sum()
    if n == 0:
        return 0.0
    plain = float(-(filled * np.log2(filled / n)).sum())
    return plain + (len(filled) - 1) / (2 * np.log(2))


@njit(cache=True, nogil=True)
def _count_shapes(offsets, row, col, rows, cols, layer, starts, counts):  # type: ignore[no-untyped-def]
    """Count the starts of each frame, and hits and misses of pixels with an earlier neighbour.

    The latter by layer and ten neighbours. Digis stand column by column.
    """
    for f in range(len(offsets) - 1):
        n_rows, n_cols = rows[f], cols[f]
        # a frame of two pixels around the module keeps all neighbours inside
        hit = np.zeros((n_cols + 3, n_rows + 4), np.uint8)
        seen = np.zeros((n_cols + 3, n_rows + 4), np.uint8)
        for i in range(offsets[f], offsets[f + 1]):
            hit[col[i] + 2, row[i] + 2] = 1
        for i in range(offsets[f], offsets[f + 1]):
            c0, r0 = np.int64(col[i]) + 2, np.int64(row[i]) + 2
            earlier = hit[c0, r0 - 1] + hit[c0 - 1, r0 - 1] + hit[c0 - 1, r0] + hit[c0 - 1, r0 + 1]
            starts[f] += earlier == 0
            for step in range(4):
                c = c0 if step == 0 else c0 + 1
                r = r0 + 1 if step == 0 else r0 + step - 2
                if c >= n_cols + 2 or r < 2 or r >= n_rows + 2 or seen[c, r]:
                    continue
                seen[c, r] = 1
                context = np.int64(hit[c, r - 1]) | hit[c, r - 2] << 1
                for k in range(5):
                    context |= np.int64(hit[c - 1, r - 2 + k]) << (2 + k)
                for k in range(3):
                    context |= np.int64(hit[c - 2, r - 1 + k]) << (7 + k)
                counts[layer[f], context, hit[c, r]] += 1
