"""A file for HDF5 to write into, which tells of a full disk afterwards.

HDF5 writes much of a file while it is closed. What fails then it tells nobody, and it crashes at the end
of the process, because what it could not write it still has. So here nothing fails: what does not go
into the file stays in memory, `failure` keeps the reason, and whoever writes asks for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

__all__ = ["Disk"]


class Disk:
    """The file at `path`, made anew, with what `h5py.File` asks of a file.

    Attributes
    ----------
    failure : OSError or None
        What went wrong first.
    """

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self._file = path.open("w+b", buffering=0)
        self._lost: list[tuple[int, bytes]] = []  # place and bytes of what is not in the file
        self._at = 0

    def __enter__(self) -> Disk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise what went wrong.

        Raises
        ------
        OSError
            If anything did.
        """
        if self.failure is not None:
            raise self.failure

    # -- what h5py calls --------------------------------------------------------------------
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the beginning or the end."""
        self._at = offset + (self._end() if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def write(self, data: bytes) -> int:
        """Write all of `data`, or keep it."""
        left = memoryview(data).cast("B")
        try:
            self.check()
            at = self._at
            while at < self._at + len(left):
                at += os.pwrite(self._file.fileno(), left[at - self._at :], at)
        except OSError as error:
            self.failure = self.failure or error
            self._lost.append((self._at, bytes(left)))
        self._at += len(left)
        return len(left)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`, with zeros behind the end."""
        data = bytearray(
            os.pread(self._file.fileno(), len(buffer), self._at).ljust(len(buffer), b"\0")
        )
        for at, lost in self._lost:
            begin, end = max(at, self._at), min(at + len(lost), self._at + len(data))
            if begin < end:
                data[begin - self._at : end - self._at] = lost[begin - at : end - at]
        buffer[:] = data
        self._at += len(data)
        return len(data)

    def read(self, size: int) -> bytes:
        """As `readinto`."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def truncate(self, size: int) -> int:
        """Make the file so long."""
        try:
            os.ftruncate(self._file.fileno(), size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def _end(self) -> int:
        ends = [at + len(lost) for at, lost in self._lost]
        return max([os.fstat(self._file.fileno()).st_size, *ends])
