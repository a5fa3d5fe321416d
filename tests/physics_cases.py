"""Digis with known clusters, and known distortions of them, for the tests of physics."""

from __future__ import annotations

import numpy as np

from pixlab.detectors import Detector
from pixlab.digis import Digis


def fine_detector() -> Detector:
    """Two layers of three modules with counts so fine that rounding them is no distortion."""
    return Detector.from_table(
        {
            "detid": range(1, 7),
            "rows": [200] * 6,
            "cols": [300] * 6,
            "layer": ["inner"] * 3 + ["outer"] * 3,
            "pitch_row": [100.0] * 6,
            "pitch_col": [150.0] * 6,
        },
        name="fine",
        adc_max=65535,
        electrons_per_adc=2.0,
    )


def tracks(n_events: int = 12, seed: int = 5) -> Digis:
    """Clusters of 2 x 3 pixels, ten pixels apart and off the edges, of about 24 ke a pixel."""
    rng = np.random.default_rng(seed)
    event, detid, row, col = np.meshgrid(
        range(n_events), range(1, 7), range(10, 190, 10), range(10, 290, 10), indexing="ij"
    )
    chosen = rng.random(event.shape) < 0.1
    event, detid, row, col = (np.repeat(a[chosen], 6) for a in (event, detid, row, col))
    step = np.tile(np.arange(6), chosen.sum())
    adc = rng.gamma(8, 1500, len(event)).clip(1000, 60000).astype(int)
    return Digis.from_arrays(
        event,
        detid,
        row + step // 3,
        col + step % 3,
        adc,
        detector=fine_detector(),
        n_events=n_events,
    )


def shifted(digis: Digis, rows: int, cols: int) -> Digis:
    return Digis.from_arrays(
        *(
            digis.event,
            digis.detid,
            digis.row + np.int64(rows),
            digis.col + np.int64(cols),
            digis.adc,
        ),
        detector=digis.detector,
        n_events=len(digis),
    )


def distorted(digis: Digis, seed: int = 0) -> Digis:
    rng = np.random.default_rng(seed)
    kept = digis.select(mask=rng.random(digis.n_digis) > 0.03)
    top = digis.detector.adc_max
    return kept.with_adc(np.clip(kept.adc + rng.normal(0, 9, kept.n_digis), 0, top))
