"""The container .pxl as a line of `FORMATS`; `pixlab.io.pxl` is imported when one is met."""

from __future__ import annotations

from pathlib import Path
from sys import maxsize

from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError

__all__ = ["PxlReader", "sniff", "write"]


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a .pxl file."""
    if not head.startswith(b"PK"):  # a ZIP archive: spare the import for all else
        return False
    from pixlab.io import pxl

    return pxl.sniff(head)


class PxlReader:
    """A .pxl file; it names its own detector and has no branches."""

    def __init__(
        self, path: Path, *, branch: str | None = None, detector: str | Detector | None = None
    ) -> None:
        if branch is not None:
            raise PixlabError(f"{path}: a .pxl file has no branches", "leave branch= out")
        self._path = path
        self._detector = None if detector is None else get_detector(detector)

    @property
    def count(self) -> int:
        """Number of events in the file."""
        return len(self.read(0, maxsize))

    def read(self, start: int, stop: int) -> Digis:
        """Events `start` to `stop`, fewer where the file ends before."""
        from pixlab.io import pxl

        digis = pxl.read(self._path, events=slice(start, stop))
        if self._detector is None:
            return digis
        return Digis._from_sorted(
            self._detector,
            digis.offsets,
            digis.detid,
            digis.row,
            digis.col,
            digis.adc,
            flag=digis.flag,
            event_id=digis.event_id,
            first_event=start,
        )

    def close(self) -> None:
        """Let go of the file."""


def write(digis: Digis, path: Path) -> None:
    """Write digis as .pxl."""
    from pixlab.io import pxl

    pxl.write(digis, path)
