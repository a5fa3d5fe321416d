"""`evaluate`: one setting along the whole line, compress - decompress - compare, with real files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pixlab.codecs import Codec, Model
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io import compress
from pixlab.io.pxl import PxlReader
from pixlab.io.source import Bytes
from pixlab.physics import TOLERANCES, Comparison, compare
from pixlab.progress import Progress, tell
from pixlab.study.timing import Stopwatch

__all__ = ["MODEL_EVENTS", "NO_TOLERANCE", "evaluate", "label_of", "strictest"]

MODEL_EVENTS = 1000  # events over which a model's bytes are spread: one file of a library
NO_TOLERANCE = "none"


def evaluate(
    model: Model,
    events: Digis | Callable[[], Iterable[Digis]],
    *,
    premixed: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compress to a real file, decompress it, compare: one row of a sweep's table.

    Parameters
    ----------
    model : Model
        A fitted model.
    events : Digis or function
        Events that it was not fitted on; where they do not fit into memory, a function that gives
        them block by block, each time anew.
    premixed : bool
        Compare after pre-mixing too.
    progress : callable, optional
        Told how far it is.

    Returns
    -------
    dict
        The columns that `pixlab.study.COLUMNS` explains, as far as they need no other row, the
        metrics of all layers together, ``model`` (bytes) and ``comparison`` (JSON).
    """
    blocks = (lambda: [events]) if isinstance(events, Digis) else events
    for first in blocks():
        model.decode(model.encode(first[:1]))  # compiles, so that the times below are of coding
        break
    encoding, decoding = Stopwatch(), Stopwatch()
    tell(progress, 0.0, "encoding")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.pxl"
        with encoding.running():
            facts = compress(encoding.without(blocks()), file, model=model)
        tell(progress, 0.4, "decoding")
        comparison: Comparison | None = None
        with Bytes(file) as opened:
            reader, start = PxlReader(opened), 0
            for block in blocks():
                with decoding.running():
                    decoded = reader.read(start, start + len(block))
                part = compare(block, decoded, premixed=premixed)
                comparison = part if comparison is None else comparison + part
                start += len(block)
                tell(progress, 0.4 + 0.6 * start / max(reader.count, 1), "decoding")
    if comparison is None:
        raise PixlabError("there are no events to measure")
    n, size, model_bytes = max(facts["digis"], 1), facts["bytes"], facts["model_bytes"]
    payload = size - model_bytes
    share = model_bytes * facts["events"] / MODEL_EVENTS
    table = comparison.table
    return {
        "codec": model.codec.key,
        "label": label_of(model.codec),
        **model.codec.knobs(),
        "events": facts["events"],
        "digis": facts["digis"],
        "bytes": size,
        "model_bytes": model_bytes,
        "payload_bytes": payload,
        "bits_per_digi": 8 * (payload + share) / n,
        "payload_bits_per_digi": 8 * payload / n,
        "model_bits_per_digi": 8 * share / n,
        "bits_per_digi_file": 8 * size / n,
        "encode_s": encoding.wall,
        "encode_cpu_s": encoding.cpu,
        "decode_s": decoding.wall,
        "decode_cpu_s": decoding.cpu,
        "inside": strictest(comparison),
        **{name: float(table.loc[name, "all"]) for name in table.index},
        **{f"ledger.{name}": count for name, count in facts["ledger"].items()},
        "model": model.to_bytes(),
        "comparison": comparison.to_json(),
    }


def strictest(comparison: Comparison) -> str:
    """The strictest tolerances that every layer is inside, or `NO_TOLERANCE`."""
    return next((name for name in TOLERANCES if comparison.passed(name)), NO_TOLERANCE)


def label_of(codec: Codec) -> str:
    """The codec and the knobs that are not at their defaults."""
    knobs = codec.knobs()
    changed = {k: v for k, v in knobs.items() if v != codec.param[k].default and k != "compact"}
    if knobs.get("codebook_size") is not None:
        changed["codebook_size"] = knobs["codebook_size"]
    order = {k: i for i, k in enumerate(vars(type(codec)))}  # as they are declared
    words = [
        f"{k.removesuffix('_step').replace('_', ' ')} {changed[k]}"
        for k in sorted(changed, key=lambda k: order.get(k, 0))
    ]
    return " ".join([codec.key, *words])
