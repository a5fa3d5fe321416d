"""What the tests of pixlab.io share: the files beside them, random digis, and what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pixlab.detectors import get_detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import PixlabError
from pixlab.io import FORMATS
from tests.helpers import small_detector

DATA = Path(__file__).parent / "data"
SIM, PREMIX = "simSiPixelDigis__HLT", "mixData_Pixel_PREMIX"
# suffixes that `write` knows
SUFFIXES = [s for f in FORMATS.values() if f.write for s in f.suffixes]


def truth(name: str, detector: str = "phase1") -> Digis:
    """What a ROOT file of the data directory holds, from columns that no reader has touched."""
    with np.load(DATA / f"truth_{name}.npz") as columns:
        kept: dict[str, Any] = dict(columns)
    return Digis.from_arrays(**kept, detector=detector)


def inside(digis: Digis) -> bool:
    """Whether every digi is where its detector has a pixel."""
    index = digis.module
    detector = digis.detector
    return bool(
        (digis.row < detector.rows[index]).all()
        and (digis.col < detector.cols[index]).all()
        and (digis.adc <= detector.adc_max).all()
        and digis.offsets[-1] == digis.n_digis
    )


def same(one: Digis, other: Digis) -> bool:
    """Equality in everything, where ``==`` forgives missing flags and event ids."""
    # without a single digi or event there is nothing to miss
    flags = (one.flag is None) == (other.flag is None) or not one.n_digis
    numbers = (one.event_id is None) == (other.event_id is None) or not len(one)
    return one == other and one.detector.to_json() == other.detector.to_json() and flags and numbers


def is_clean(error: PixlabError, path: Path) -> bool:
    """Whether an error is one line that names the file and a next step."""
    return "\n" not in str(error) and str(path) in str(error) and bool(error.hint)


@st.composite
def digis(draw: st.DrawFn, max_events: int = 5, max_digis: int = 40) -> Digis:
    """Digis of a CMS or an own detector, with and without flags and event numbers."""
    detector = get_detector("phase1") if draw(st.booleans()) else small_detector()
    n_events = draw(st.integers(0, max_events))
    n = draw(st.integers(0, max_digis)) if n_events else 0
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    event, module = rng.integers(0, max(n_events, 1), n), rng.integers(0, len(detector), n)
    row, col = rng.integers(0, detector.rows[module]), rng.integers(0, detector.cols[module])
    adc = rng.integers(0, detector.adc_max + 1, n)
    _, once = np.unique(np.stack([event, module, row, col]), axis=1, return_index=True)
    flag = rng.integers(0, 2, len(once)).astype(bool) if draw(st.booleans()) else None
    numbers = None
    if draw(st.booleans()):
        numbers = np.zeros(n_events, EVENT_ID)
        for name in EVENT_ID.names or ():
            numbers[name] = rng.integers(0, np.iinfo(EVENT_ID[name]).max, n_events, endpoint=True, dtype=EVENT_ID[name])  # fmt: skip
    return Digis.from_arrays(
        event[once],
        detector.detid[module[once]],
        row[once],
        col[once],
        adc[once],
        detector=detector,
        n_events=n_events,
        flag=flag,
        event_id=numbers,
    )
