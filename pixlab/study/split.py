"""`Split`: which events models are fitted on, and which they are measured on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io import count, iterate, read, write
from pixlab.io.files import event_range

__all__ = ["Split"]

_FIT_DIGIS = 4_000_000  # of a large file, more than that teach little
_HELD_DIGIS = 8_000_000  # what is read once and kept, 80 MB
_BLOCK_DIGIS = 2_000_000  # of a file that is read block by block


@dataclass(frozen=True)
class Split:
    """Events of a file or in memory, the first of them to fit on and the rest to measure.

    Parameters
    ----------
    path : str
        The file; "" for events in memory.
    how : mapping
        ``branch``, ``detector`` and ``duplicates`` of `pixlab.read`, the second as `Detector.to_json` has it.
    first, n_fit, n_events : int
        Number of the first event in the file, of events to fit on, and of all.
    block : int
        Events at a time; 0 to hold all of them in memory.
    """

    path: str
    how: Mapping[str, Any]
    first: int
    n_fit: int
    n_events: int
    block: int

    @classmethod
    def of(
        cls,
        source: Digis | str | os.PathLike[str],
        *,
        fit_events: int | None = None,
        events: Any = None,
        branch: str | None = None,
        detector: str | Detector | None = None,
        duplicates: str = "error",
    ) -> Split:
        """Look at the events and decide.

        Parameters
        ----------
        source : Digis or path
            The events.
        fit_events : int, optional
            How many to fit on. Default: half, but of a large file only the first 4 million digis.
        events : slice or (start, stop), optional
            Which events of a file to take. Default: all.
        branch, detector, duplicates : optional
            As for `pixlab.read`.

        Raises
        ------
        PixlabError
            If there are too few events to keep both apart, or the file cannot be read.
        """
        if isinstance(source, Digis):
            split = cls("", {}, 0, _fit(fit_events, len(source)), len(source), 0)
            split.__dict__["_held"] = source  # what `_held` would read
            return split
        chosen = event_range(events)
        if (chosen.step or 1) != 1 or (chosen.start or 0) < 0 or (chosen.stop or 0) < 0:
            raise PixlabError("take events one after the other, counted from the beginning")
        how: dict[str, Any] = {"branch": branch, "detector": detector, "duplicates": duplicates}
        first, last = chosen.start or 0, count(source, **how)
        n = max(min(last, last if chosen.stop is None else chosen.stop) - first, 0)
        if isinstance(detector, Detector):
            how["detector"] = detector.to_json()
        split = cls(str(source), how, first, _fit(fit_events, n), n, 0)
        a_few = split._read(first, first + min(n, 10))
        each = max(a_few.n_digis / max(len(a_few), 1), 1.0)
        if each * n > _HELD_DIGIS:
            split = replace(split, block=max(1, min(int(_BLOCK_DIGIS / each), 100)))
            if fit_events is None:
                split = replace(split, n_fit=max(1, min(split.n_fit, int(_FIT_DIGIS / each))))
        return split

    # -- events -----------------------------------------------------------------------------
    def fit(self) -> Digis:
        """The events to fit on."""
        if self.block:
            return self._read(self.first, self.first + self.n_fit)
        return self._held[: self.n_fit]

    def blocks(self) -> Iterator[Digis]:
        """The events to measure, block by block."""
        if not self.block:
            yield self._held[self.n_fit :]
            return
        skip, left = self.first + self.n_fit, self.n_events - self.n_fit
        for block in iterate(self.path, events=self.block, **self._arguments):
            part = block[min(skip, len(block)) :][:left]
            skip -= min(skip, len(block))
            if len(part):
                yield part
            left -= len(part)
            if not left:
                return

    @cached_property
    def _held(self) -> Digis:
        return self._read(self.first, self.first + self.n_events)

    def _read(self, start: int, stop: int) -> Digis:
        return read(self.path, events=slice(start, stop), **self._arguments)

    @property
    def _arguments(self) -> dict[str, Any]:
        how = dict(self.how)
        if isinstance(how.get("detector"), dict):
            how["detector"] = Detector.from_json(how["detector"])
        return how

    @property
    def held_digis(self) -> int:
        """Digis in memory, where all are."""
        return self._held.n_digis

    # -- words and bytes --------------------------------------------------------------------
    def describe(self) -> dict[str, str]:
        """Which events, in words."""
        at = self.first
        return {
            "fitted_on": f"events {at} to {at + self.n_fit - 1}",
            "measured_on": f"events {at + self.n_fit} to {at + self.n_events - 1}",
        }

    def fingerprint(self) -> str:
        """Equal for equal events split alike, as far as that is known without reading a file."""
        digest = blake2b(digest_size=16)
        if self.path:
            facts: list[Any] = [self.path, sorted(self.how.items(), key=str)]
            path = Path(self.path).resolve()
            if path.exists():  # and no URL
                about = path.stat()
                facts += [str(path), about.st_size, about.st_mtime_ns]
        else:
            facts = [self._held.detector.fingerprint]
            for name in ("offsets", "detid", "row", "col", "adc"):
                digest.update(getattr(self._held, name).tobytes())
        digest.update(repr([*facts, self.first, self.n_fit, self.n_events]).encode())
        return digest.hexdigest()

    def on_disk(self, folder: Path) -> Split:
        """The same for another process, which cannot see this one's memory."""
        if self.path:
            return self
        file = folder / "events.npz"
        write(self._held, file)
        return replace(self, path=str(file))


def _fit(wanted: int | None, n: int) -> int:
    n_fit = n // 2 if wanted is None else int(wanted)
    if n < 2:
        raise PixlabError(
            f"{'one event is' if n else 'no events are'} not enough: models are fitted on some "
            "events and measured on others",
            "give more events" + n * "; a notebook shows a single one with pixlab.explore",
        )
    if not 0 < n_fit < n:
        raise PixlabError(
            f"{n} events cannot be split into {n_fit} to fit on and a rest to measure",
            "give more events",
        )
    return n_fit
