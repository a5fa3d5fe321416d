"""Digis and the containers of others: pandas tables and awkward arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import awkward
    import pandas

    from pixlab.digis.container import Digis

__all__ = ["awkward_columns", "pandas_columns", "to_awkward", "to_pandas"]

_FIELDS = ("detid", "row", "col", "adc")


def pandas_columns(frame: pandas.DataFrame) -> dict[str, Any]:
    """Columns of a table with one row a digi, as `Digis.from_arrays` takes them."""
    named = [name for name in frame.index.names if name is not None]
    table = frame.reset_index(level=named) if named else frame
    names = [str(name).lower() for name in table.columns]
    columns = {name: table.iloc[:, names.index(name)] for name in names}
    _check_columns({"event", *_FIELDS}, names)
    for name in ("event", *_FIELDS, "flag"):
        if name in columns and columns[name].isna().any():
            raise PixlabError(f"column '{name}' has rows without a value", "fill or drop them")
    wanted = ("event", *_FIELDS, *(["flag"] if "flag" in columns else []))
    return {name: columns[name].to_numpy() for name in wanted}


def awkward_columns(array: awkward.Array) -> dict[str, Any]:
    """Columns of one list an event, as `Digis.from_arrays` takes them."""
    import awkward as ak

    names = [name.lower() for name in ak.fields(array)]
    _check_columns(set(_FIELDS), names)
    values: dict[str, Any] = {}
    counts: NDArray[Any] | None = None
    for name, field in zip(names, ak.fields(array), strict=True):
        if name not in (*_FIELDS, "flag"):
            continue
        lists = array[field]
        if lists.ndim != 2 or ak.any(ak.is_none(lists)) or ak.any(ak.is_none(lists, axis=1)):
            raise PixlabError(f"field '{name}' is no list of numbers an event, without gaps")
        number = ak.to_numpy(ak.num(lists))
        if counts is not None and not np.array_equal(number, counts):
            event = int(np.flatnonzero(number != counts)[0])
            raise PixlabError(f"event {event}: field '{name}' has another length than others")
        counts, values[name] = number, ak.to_numpy(ak.flatten(lists))
    assert counts is not None  # there are all of _FIELDS
    return {"event": np.repeat(np.arange(len(counts)), counts), "n_events": len(counts)} | values


def to_awkward(digis: Digis) -> awkward.Array:
    """Events of records of a digi."""
    import awkward as ak

    fields = {name: getattr(digis, name) for name in _FIELDS}
    if digis.flag is not None:
        fields["flag"] = digis.flag
    return ak.unflatten(ak.zip(fields), np.diff(digis.offsets))


def to_pandas(digis: Digis) -> pandas.DataFrame:
    """One row a digi."""
    import pandas as pd

    columns = {"event": digis.event} | {name: getattr(digis, name) for name in _FIELDS}
    if digis.flag is not None:
        columns["flag"] = digis.flag
    return pd.DataFrame(columns)


def _check_columns(needed: set[str], names: list[str]) -> None:
    """Whether each of the needed columns is there, once."""
    for name in sorted(needed):
        if names.count(name) != 1:
            what = "occurs twice" if name in names else "is missing"
            raise PixlabError(
                f"column '{name}' {what} (there are {', '.join(names[:12]) or 'none'})",
                f"digis need the columns {', '.join(sorted(needed))}, each once",
            )
