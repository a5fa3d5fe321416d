"""HDF5 files: their tables, found and read behind checks of every size.

Links to other files, and datasets that are kept in them, are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED
from pixlab.io.source import Bytes

__all__ = ["MAGIC", "H5File"]

MAGIC = b"\x89HDF\r\n\x1a\n"
_RATIO = 1100  # no packed dataset unpacks to more times its size
_CHUNK = 256 << 20  # bytes of the largest chunk, which is unpacked whole
_DEPTH, _NODES = 6, 10_000
_BLOSC = 32001
_NUMBERS = {_BLOSC: 4, 32026: 4, 32008: 3}  # that the filters Blosc, Blosc2 and Bitshuffle need


class H5File:
    """An open HDF5 file.

    Parameters
    ----------
    source : Bytes
        The file.

    Attributes
    ----------
    tables : dict
        {name: {column: Dataset}}: groups with one dataset a column (the top one is called ``/``),
        and compound datasets, whose columns are all that dataset.
    """

    def __init__(self, source: Bytes) -> None:
        import h5py

        self.source = source
        # through Python's files h5py can block itself: it holds a lock while others read for it
        self.file: Any = h5py.File(source.on_disk(), "r", locking=False)
        try:
            self.tables: dict[str, dict[str, Any]] = {}
            self._nodes = 0
            for group, name, node in self._walk(self.file, "", 0):
                if node.dtype.names:
                    self.tables[f"{group}{name}"] = dict.fromkeys(node.dtype.names, node)
                else:
                    self.tables.setdefault(group or "/", {})[name] = node
        except BaseException:
            self.close()
            raise

    @staticmethod
    def of(source: Bytes) -> H5File:
        """The open HDF5 file in `source`, which all who try it share."""
        if not isinstance(source.container, H5File):
            source.container = H5File(source)
        return source.container

    def __str__(self) -> str:
        return str(self.source)

    def _walk(self, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, str, Any]]:
        import h5py

        for name in group:
            self._nodes += 1
            if self._nodes > _NODES:
                raise FormatError(
                    f"it has more than {_NODES} objects", "keep digis in a file alone"
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            if isinstance(node, h5py.Dataset):
                yield prefix, name, node
            elif isinstance(node, h5py.Group) and depth < _DEPTH:
                yield from self._walk(node, f"{prefix}{name}/", depth + 1)

    def check(self, name: str, dataset: Any) -> None:
        """Whether a dataset is in this file in full, has one dimension, and can be unpacked.

        Raises
        ------
        PixlabError
            If not.
        """
        import h5py

        if dataset.is_virtual or dataset.external:
            raise FormatError(f"'{name}' is kept in another file", "copy it into one file")
        if len(dataset.shape or ()) != 1:
            raise FormatError(
                f"'{name}' has shape {dataset.shape}", "write one number a digi, in one dimension"
            )
        size = dataset.shape[0] * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        chunk = (dataset.chunks or (0,))[0] * dataset.dtype.itemsize
        if size > (stored + 1) * _RATIO or chunk > _CHUNK:
            raise FormatError(f"'{name}' has {size} bytes, {stored} of it are there", DAMAGED)
        packing = dataset.id.get_create_plist()
        for i in range(packing.get_nfilters()):
            code, _, values, what = packing.get_filter(i)
            # these read their numbers without looking how many there are
            if len(values) < _NUMBERS.get(code, 0) or (code == _BLOSC and values[3] != chunk):
                raise FormatError(f"'{name}' is packed in a way that does not fit it", DAMAGED)
            if h5py.h5z.filter_avail(code):
                continue
            with suppress(ImportError):
                import hdf5plugin  # noqa: F401  (it registers its filters)
            if not h5py.h5z.filter_avail(code):
                called = what.decode("ascii", "replace") or f"filter {code}"
                raise PixlabError(
                    f"{self}: '{name}' is packed with {called}, which h5py alone cannot unpack",
                    "pip install 'pixlab[fei4]' (it brings hdf5plugin)",
                )

    def describe(self) -> str:
        """What the file holds, in one line."""
        shown = [f"{name} ({', '.join(list(t)[:8])})" for name, t in list(self.tables.items())[:5]]
        return f"it holds the tables {'; '.join(shown)}" if shown else "it holds no tables"

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
