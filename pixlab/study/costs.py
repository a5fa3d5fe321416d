"""`payback`: how many events a file must hold until its model has paid for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas

__all__ = ["payback"]


def payback(table: pandas.DataFrame, root: Mapping[str, Any]) -> pandas.DataFrame:
    """Events from which a setting's file, its model included, is smaller than another one.

    With model bytes m and payload p an event, against m' and p' of the other one:
    (m - m') / (p' - p) events; 0 where it is smaller from the first event on, infinity where it
    never is.

    Parameters
    ----------
    table : DataFrame
        Rows of a sweep.
    root : mapping
        ``root_zstd4``: bytes of the measured events in ROOT, as in ``Sweep.provenance``.

    Returns
    -------
    DataFrame
        codec, label, ``payback_lossless`` (against the first row of codec lossless; NaN where
        there is none) and ``payback_root_zstd4``, in events.
    """
    events = np.maximum(table["events"].to_numpy(float), 1)
    model = table["model_bytes"].to_numpy(float)
    payload = table["payload_bytes"].to_numpy(float) / events
    found = table[["codec", "label"]].copy()
    exact = np.flatnonzero(table["codec"] == "lossless")[:1]
    found["payback_lossless"] = (
        _break_even(model - model[exact], payload[exact] - payload) if len(exact) else np.nan
    )
    found["payback_root_zstd4"] = _break_even(model, float(root["root_zstd4"]) / events - payload)
    return found


def _break_even(invested: np.ndarray, saved: np.ndarray) -> np.ndarray:
    """Events until `invested` bytes are saved at `saved` bytes an event."""
    with np.errstate(divide="ignore", invalid="ignore"):
        events = np.where(saved > 0, np.ceil(invested / saved), np.inf)
    # the same file as the other one pays nothing back, and need not
    return np.where((invested <= 0) & (saved >= 0), 0.0, np.maximum(events, 0.0))
