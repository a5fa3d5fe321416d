"""The pieces of work of a sweep, each of which gives a flat dict; any process may do them."""

from __future__ import annotations

from typing import Any

from pixlab.codecs import Codec, make_codec
from pixlab.digis import Digis
from pixlab.progress import Progress, tell
from pixlab.study.entropy import FloorCounts
from pixlab.study.evaluation import evaluate
from pixlab.study.reference import root_reference, root_reference_text
from pixlab.study.split import Split
from pixlab.study.timing import Stopwatch, time_codec

__all__ = ["FACTS", "perform", "row_task", "speed_task"]

FACTS: dict[str, Any] = {"what": "facts"}  # what is true of the events, whatever the codec
_FIT = 0.6  # share of the time of a row, roughly


def row_task(codec: Codec, *, premixed: bool = False) -> dict[str, Any]:
    """The task of fitting and measuring one setting."""
    return {"what": "row", "codec": codec.key, "knobs": codec.knobs(), "premixed": premixed}


def speed_task(codec: Codec, **how: Any) -> dict[str, Any]:
    """The task of fitting and measuring one setting, with what `time_codec` says of it."""
    return row_task(codec) | {"what": "speed", "timing": how}


def perform(task: dict[str, Any], split: Split, progress: Progress | None = None) -> dict[str, Any]:
    """Do it.

    Parameters
    ----------
    task : dict
        `FACTS`, or what `row_task` or `speed_task` gave.
    split : Split
        The events.
    progress : callable, optional
        Told the fraction of this task.
    """
    if task["what"] == "facts":
        return _facts(split, progress)
    codec = make_codec(task["codec"], **task["knobs"])
    watch = Stopwatch()
    train = split.fit()
    with watch.running():
        model = codec.fit(train, progress=lambda done, what: tell(progress, _FIT * done, what))
    del train
    row = evaluate(
        model,
        split.blocks,
        premixed=task["premixed"],
        progress=lambda done, what: tell(progress, _FIT + (1 - _FIT) * done, what),
    )
    row |= {"fit_s": watch.wall, "fit_cpu_s": watch.cpu}
    if task["what"] == "speed":
        test = Digis.concatenate(list(split.blocks()))
        row |= time_codec(model, test, **task["timing"])
    return row


def _facts(split: Split, progress: Progress | None) -> dict[str, Any]:
    """ROOT bytes and floors of the measured events."""
    total: dict[str, int] = {}
    counts: FloorCounts | None = None
    for block in split.blocks():
        counts = counts or FloorCounts(block.detector)
        counts.add(block)
        for name, size in root_reference(block).items():
            total[name] = total.get(name, 0) + size
        tell(progress, counts.n_events / (split.n_events - split.n_fit), "ROOT")
    assert counts is not None  # a split leaves something to measure
    floors = counts.finish() if counts.n_digis else {}
    return {
        **total,
        "root_reference": root_reference_text(),
        "detector": counts.detector.name,
        **{f"floor.{name}": bits for name, bits in floors.items()},
    }
