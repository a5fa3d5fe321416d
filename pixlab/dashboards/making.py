"""What the Data view does when it is asked to: events from somewhere, codecs from knobs, a source."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import param

from pixlab.codecs import CODECS, Codec, make_codec
from pixlab.dashboards.opening import is_table, open_source
from pixlab.dashboards.sources import Source
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.progress import Progress
from pixlab.study import default_codecs, sweep

__all__ = ["codecs_of", "from_file", "from_sample", "from_simulation", "from_upload", "knobs_of"]

MOST_SETTINGS = 60
_READING = 0.1  # part of the progress that is given to reading or simulating


def knobs_of(codec: str) -> dict[str, Any]:
    """The declared parameters of a codec that one may want to vary: name -> `param.Parameter`."""
    declared = CODECS[codec].param.objects("existing")
    return {
        name: p
        for name, p in declared.items()
        if name != "name" and not name.startswith("_") and not p.constant
    }


def codecs_of(names: Sequence[str], texts: Mapping[tuple[str, str], str]) -> list[Codec]:
    """Every combination of the values that were given for the knobs of each codec.

    Parameters
    ----------
    names : sequence of str
        Keys of `pixlab.codecs.CODECS`.
    texts : mapping of (codec, knob) to str
        Values with commas between them; a knob without a text keeps its default. A codec without
        any text is tried in the settings of `pixlab.study.default_codecs`, if it is among them.

    Raises
    ------
    PixlabError
        If a value makes no sense, there are too many settings, or none.
    """
    found: list[Codec] = []
    usual = default_codecs()
    for name in names:
        given = {
            knob: [_value(name, knob, part) for part in text.split(",") if part.strip()]
            for (codec, knob), text in texts.items()
            if codec == name and text.strip()
        }
        if not given:
            found += [c for c in usual if c.key == name] or [make_codec(name)]
            continue
        for values in product(*given.values()):
            found.append(make_codec(name, **dict(zip(given, values, strict=True))))
    if not found:
        raise PixlabError("no codec is chosen", "choose at least one")
    if len(found) > MOST_SETTINGS:
        raise PixlabError(
            f"these are {len(found)} settings, more than {MOST_SETTINGS}", "give fewer values"
        )
    return found


def _value(codec: str, knob: str, text: str) -> Any:
    declared = knobs_of(codec)[knob]
    text = text.strip()
    try:
        if isinstance(declared, param.Boolean):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(declared, param.Integer):
            return int(text)
        if isinstance(declared, param.Number):
            return float(text)
        if isinstance(declared, param.Selector):
            return next(choice for choice in declared.objects if str(choice) == text)
    except (KeyError, ValueError, StopIteration):
        kind = type(declared).__name__.lower()
        raise PixlabError(f"{codec}, {knob}: '{text}' is no {kind}", declared.doc or "") from None
    return text


# -- events -------------------------------------------------------------------------------------
def from_sample(name: str, codecs: Sequence[Codec], events: int, progress: Progress) -> Source:
    """Some events of an embedded sample."""
    from pixlab import samples

    digis = samples.load(name)
    return _swept(name, digis[: min(events, len(digis))], codecs, progress)


def from_file(
    path: str,
    codecs: Sequence[Codec],
    events: int,
    progress: Progress,
    *,
    branch: str | None = None,
    detector: str | None = None,
) -> Source:
    """A table made by `pixlab sweep` as it is, or some events of a file.

    Raises
    ------
    PixlabError
        If it cannot be read.
    """
    from pixlab.io import read

    file = Path(path.strip().strip("'\"")).expanduser()
    if not str(path).strip():
        raise PixlabError("no file is named", "give the path of a file on this machine")
    if is_table(file):
        return open_source(file)
    progress(0.0, f"reading {file.name}")
    digis = read(file, events=slice(0, events), branch=branch or None, detector=detector or None)
    return _swept(file.name, digis, codecs, progress, source=str(file))


def from_upload(
    name: str, content: bytes, codecs: Sequence[Codec], events: int, progress: Progress, **more: Any
) -> Source:
    """A file that came through the browser; nothing of it stays on the disk."""
    with tempfile.TemporaryDirectory(prefix="pixlab-") as folder:
        # the name alone, so that it can lead nowhere else
        file = Path(folder) / (Path(name.replace("\\", "/")).name or "upload")
        file.write_bytes(content)
        try:
            return from_file(str(file), codecs, events, progress, **more)
        except PixlabError as error:
            plain = str(file)
            raise type(error)(
                error.cause.replace(plain, file.name), error.hint.replace(plain, file.name)
            ) from error


def from_simulation(
    events: int,
    pileup: float,
    seed: int,
    detector: str,
    codecs: Sequence[Codec],
    progress: Progress,
) -> Source:
    """Simulated events."""
    from pixlab.simulation import simulate

    def report(fraction: float, words: str) -> bool | None:
        return progress(_READING * fraction, "simulating")

    report(0.0, "")
    digis = simulate(events, pileup=pileup, seed=seed, detector=detector, progress=report)
    return _swept(f"simulated, pile-up {pileup:g}, seed {seed}", digis, codecs, progress)


def _swept(
    name: str, digis: Digis, codecs: Sequence[Codec], progress: Progress, source: str = ""
) -> Source:
    def report(fraction: float, words: str) -> bool | None:
        return progress(_READING + (1 - _READING) * fraction, words)

    report(0.0, "sweep")
    return Source(name, digis, sweep(digis, codecs, source=source or name, progress=report))
