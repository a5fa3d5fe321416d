"""Names and types of columns: what others call event, module id, row, column and count."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["COLUMNS", "SPELLINGS", "canonical", "check_type", "match_columns", "whole"]

COLUMNS = ("event", "detid", "row", "col", "adc")
_OPTIONAL = ("flag", "run", "lumi")

# other names, in small letters and without '_', '-' and spaces -> ours
SPELLINGS = {
    "eventnumber": "event",
    "eventid": "event",
    "eventno": "event",
    "evt": "event",
    "evtnumber": "event",
    "ievt": "event",
    "moduleid": "detid",
    "rawid": "detid",
    "rawdetid": "detid",
    "detunitid": "detid",
    "geographicalid": "detid",
    "irow": "row",
    "column": "col",
    "icol": "col",
    "charge": "adc",
    "tot": "adc",
    "runnumber": "run",
    "luminosityblock": "lumi",
    "lumiblock": "lumi",
    "lumisection": "lumi",
    "ls": "lumi",
}


def canonical(name: str) -> str:
    """Our name of a column: ``digi.Row`` is ``row``, ``raw_id`` is ``detid``."""
    last = re.split(r"[./]", name.rstrip("."))[-1]
    plain = re.sub(r"[_\s-]", "", last.lower())
    return SPELLINGS.get(plain, plain)


def match_columns(
    names: Sequence[str], where: str, detector: Detector | None = None, *, numbered: bool = False
) -> dict[str, str]:
    """Which of a table's columns is which: {ours: theirs}.

    Parameters
    ----------
    names : sequence of str
        Those of the table. Our own name goes before another spelling, then the first one counts.
    where : str
        What the table is called, for errors.
    detector : Detector, optional
        One with a single module makes the module id optional.
    numbered : bool
        Whether the number of the event may be missing, because rows are events.

    Raises
    ------
    FormatError
        If one is missing, naming what is there.
    """
    found: dict[str, str] = {}
    for ours in (*COLUMNS, *_OPTIONAL):
        theirs = [name for name in names if canonical(name) == ours]
        exact = [name for name in theirs if name.lower() == ours]
        if theirs:
            found[ours] = (exact or theirs)[0]
    optional = {"detid"} if detector is not None and len(detector) == 1 else set()
    optional |= {"event"} if numbered else set()
    missing = [name for name in COLUMNS if name not in found and name not in optional]
    if missing:
        hint = f"digis need the columns {', '.join(COLUMNS)}"
        if missing == ["detid"]:
            hint += "; for a single chip pass detector=, and the module is known"
        raise FormatError(
            f"{where} has no column {' or '.join(missing)} (it has {', '.join(names[:12]) or 'none'})",
            hint,
        )
    return found


def check_type(name: str, dtype: np.dtype[Any]) -> None:
    """Refuse a column that cannot hold whole numbers."""
    if dtype.kind not in "iuf" and not (name == "flag" and dtype.kind == "b"):
        raise FormatError(
            f"column '{name}' holds {dtype.name}, whole numbers are needed",
            "write the column as integers",
        )


def whole(
    name: str, values: NDArray[Any], where: Callable[[int], str] = lambda _: ""
) -> NDArray[Any]:
    """A column as integers: floating point is taken where every value is whole, and exact.

    Raises
    ------
    FormatError
        Naming the first value that is not; ``where(i)`` says of value ``i`` where it is.
    """
    check_type(name, values.dtype)
    if values.dtype.kind != "f":
        return values
    exact = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    good = (np.abs(values) <= exact) & (np.floor(values) == values)
    if not good.all():
        i = int(np.argmin(good))
        large = np.isfinite(values[i]) and np.abs(values[i]) > exact
        raise FormatError(
            f"{where(i)}column '{name}' holds {values[i]} as {values.dtype.name}, "
            + ("which is not exact" if large else "whole numbers are needed"),
            "write the column as integers",
        )
    return values.astype(np.int64)
