"""Digis made up for tests: small, seeded, with every edge that a codec or reader may trip on."""

from __future__ import annotations

import numpy as np
import pytest

from pixlab.codecs import CODECS, Foreign
from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis


def random_digis(
    detector: str | Detector = "phase1",
    *,
    n_events: int = 3,
    n_digis: int = 500,
    n_modules: int = 6,
    adc_max: int = 255,
    seed: int = 0,
) -> Digis:
    """Clumped random digis on a few modules; every pixel at most once an event."""
    detector = get_detector(detector)
    rng = np.random.default_rng(seed)
    modules = rng.choice(len(detector), min(n_modules, len(detector)), replace=False)
    event = rng.integers(0, max(n_events, 1), n_digis)
    module = rng.choice(modules, n_digis)
    # a few clumps a module, so that clusters have more than one pixel
    row = (rng.integers(0, 4, n_digis) * 37 + rng.integers(0, 5, n_digis)) % detector.rows[module]
    col = (rng.integers(0, 4, n_digis) * 83 + rng.integers(0, 9, n_digis)) % detector.cols[module]
    adc = rng.integers(0, min(adc_max, detector.adc_max) + 1, n_digis)
    _, once = np.unique(np.stack([event, module, row, col]), axis=1, return_index=True)
    return Digis.from_arrays(
        event[once],
        detector.detid[module[once]],
        row[once],
        col[once],
        adc[once],
        detector=detector,
        n_events=n_events,
    )


def full_module(detector: str | Detector = "phase1", *, adc: int = 7) -> Digis:
    """One event in which every pixel of the first module is hit."""
    detector = get_detector(detector)
    row, col = (a.ravel() for a in np.mgrid[0 : detector.rows[0], 0 : detector.cols[0]])
    return Digis.from_arrays(
        np.zeros(len(row), int),
        np.full(len(row), detector.detid[0]),
        row,
        col,
        np.full(len(row), adc),
        detector=detector,
    )


def small_detector() -> Detector:
    """A user's own detector: three modules of two shapes, ids at the ends of the 32-bit range."""
    return Detector.from_table(
        {
            "detid": [4294967295, 7, 0],
            "rows": [8, 5, 8],
            "cols": [16, 3, 16],
            "layer": ["back", "front", "front"],
            "z": [2.0, 1.0, 0.0],
            "pitch_row": [50.0, 50.0, 50.0],
            "pitch_col": [250.0, 250.0, 250.0],
        },
        name="toy",
        adc_max=15,
        electrons_per_adc=1000.0,
    )


def skip_unless_installed(key: str) -> None:
    """Skip the test of a foreign codec whose package is not here."""
    codec = CODECS[key]
    if issubclass(codec, Foreign) and not codec.installed():
        pytest.skip(f"{codec.package} is not installed")
