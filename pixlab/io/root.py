"""ROOT files: the trees in them, found with uproot behind checks of every size.

uproot parses keys and trees; a key's sizes are compared with the file first and its content is
unpacked once within bounds, so that nothing uproot meets is larger than the file can hold.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pixlab.errors import FormatError
from pixlab.io.baskets import unpack
from pixlab.io.files import DAMAGED
from pixlab.io.rntuple_frames import check_envelopes
from pixlab.io.source import Bytes

__all__ = ["MAGIC", "RootFile", "class_of", "walk"]

# with the first byte of the version, which is never that large: text may begin with "root"
MAGIC = b"root\0"
_MAX_METADATA = 256 << 20  # bytes of one tree's description, unpacked
_MAX_DEPTH = 6
_MAX_KEYS = 100_000


class RootFile:
    """An open ROOT file.

    Parameters
    ----------
    source : Bytes
        The file.

    Raises
    ------
    PixlabError
        If it is no ROOT file, or ends before its header says.
    """

    def __init__(self, source: Bytes) -> None:
        import uproot

        self.source = source
        self._check_header()
        options = {}
        if source.path is not None:  # in a dict, or uproot takes a ':' in it for the name of a tree
            options["handler"] = uproot.source.file.MemmapSource
        self._directory: Any = uproot.open(
            source.file if source.path is None else {os.path.abspath(source.path): None},
            **options,
            object_cache=None,
            array_cache=None,
            # classes that a damaged file describes must not reach other files
            custom_classes=dict(uproot.classes),
        )
        # uproot knows the classes of trees; the file's own description of classes, which it
        # turns to after an error, takes it minutes of recursion when it is damaged
        self._directory.file._streamers = {}
        self.keys = list(self._walk(self._directory, "", 0))

    @staticmethod
    def of(source: Bytes) -> RootFile:
        """The open ROOT file in `source`, which all who try it share."""
        if not isinstance(source.container, RootFile):
            source.container = RootFile(source)
        return source.container

    def __str__(self) -> str:
        return str(self.source)

    def _check_header(self) -> None:
        """Whether the file is ROOT's, and as long as it says (TFile: magic, version, begin, end)."""
        head = self.source.take(0, min(20, self.source.size), "the header")
        if not head.startswith(MAGIC):
            raise FormatError(f"{self} is no ROOT file", "check the path")
        big = int.from_bytes(head[4:8], "big") >= 1_000_000  # files over 2 GB
        end = int.from_bytes(head[12 : 20 if big else 16], "big")
        if len(head) < 20 or end > self.source.size:
            raise FormatError(
                f"{self} is truncated: {self.source.size} bytes of {end}", "fetch it again"
            )

    def _walk(self, directory: Any, prefix: str, depth: int) -> Iterator[tuple[str, str, Any]]:
        """(name, class, key) of everything, subdirectories opened; the newest cycle only."""
        names = directory.keys(recursive=False, cycle=False)
        if len(names) > _MAX_KEYS:
            raise FormatError(f"{self} has {len(names)} objects in one directory", DAMAGED)
        for name in names:
            key = directory.key(name)
            yield prefix + name, key.fClassName, key
            if key.fClassName in ("TDirectory", "TDirectoryFile") and depth < _MAX_DEPTH:
                yield from self._walk(key.get(), f"{prefix}{name}/", depth + 1)

    def _check(self, seek: int, nbytes: int, what: str, size: int | None = None) -> None:
        """Whether a key lies in the file and unpacks to what it says (and to `size`)."""
        raw = self.source.take(seek, nbytes, what)
        if len(raw) < 18:
            raise FormatError(f"{what} has no room for its header", DAMAGED)
        stored, content = (int.from_bytes(raw[a : a + 4], "big") for a in (0, 6))
        key = int.from_bytes(raw[14:16], "big")
        if stored != len(raw) or not 18 <= key <= len(raw) or content != (size or content):
            raise FormatError(f"{what} has another size than the directory says", DAMAGED)
        unpack(memoryview(raw)[key:], content, what, _MAX_METADATA)

    # -- trees --------------------------------------------------------------------------------
    @property
    def trees(self) -> list[str]:
        """Names of the trees, with their directories."""
        return [name for name, kind, _ in self.keys if kind in ("TTree", "TNtuple", "TNtupleD")]

    def tree(self, name: str) -> Any:
        """The tree of that name (uproot.TTree)."""
        key = next(key for found, _, key in self.keys if found == name)
        self._check(key.fSeekKey, key.fNbytes, f"the tree '{name}'", key.fObjlen)
        return key.get()

    @property
    def ntuples(self) -> list[str]:
        """Names of the RNTuples, with their directories."""
        return [name for name, kind, _ in self.keys if kind == "ROOT::RNTuple"]

    def ntuple(self, name: str) -> Any:
        """The RNTuple of that name (uproot's), its envelopes checked."""
        key = next(key for found, _, key in self.keys if found == name)
        self._check(key.fSeekKey, key.fNbytes, f"the RNTuple '{name}'", key.fObjlen)
        found = key.get()
        check_envelopes(self.source, found)
        return found

    def string(self, name: str) -> str | None:
        """A string stored under this name at the top of the file, or None."""
        for found, kind, key in self.keys:
            if found == name and kind == "TObjString":
                self._check(key.fSeekKey, key.fNbytes, f"the string '{name}'", key.fObjlen)
                return str(key.get())
        return None

    # -- what is in it ------------------------------------------------------------------------
    def describe(self) -> str:
        """What the file holds, in one line, for the error of who expected something else."""
        if not self.keys:
            return "it holds no objects at all"
        if "Events" in self.trees:
            tree = self.tree("Events")
            kinds = Counter(_kind(branch) for branch in tree.branches)
            common = ", ".join(f"{n} x {kind}" for kind, n in kinds.most_common(5))
            rest = f" and {len(kinds) - 5} other kinds" if len(kinds) > 5 else ""
            events = int(tree.member("fEntries"))
            return f"its tree Events has {events} events of {common or 'nothing'}{rest}"
        shown = []
        for name, kind, _ in self.keys[:5]:
            if name in self.trees:
                columns = ", ".join(str(b.name) for b in self.tree(name).branches[:8])
                shown.append(f"tree '{name}' ({columns or 'no columns'})")
            else:
                shown.append(f"{kind} '{name}'")
        return f"it holds {', '.join(shown)}" + (" and more" if len(self.keys) > 5 else "")

    def close(self) -> None:
        """Let go of the file."""
        self._directory.close()


def walk(tree: Any) -> Iterator[Any]:
    """All branches below a tree or branch."""
    for branch in tree.branches:
        yield branch
        yield from walk(branch)


def class_of(branch: Any) -> str:
    """The C++ class in a branch, or nothing for a column of numbers."""
    return str(branch.member("fClassName", none_if_missing=True) or "")


def _kind(branch: Any) -> str:
    """The class in a branch, without what every CMS product has around it."""
    name = class_of(branch) or str(branch.name)
    return re.sub(r"^edm::Wrapper<\s*(.*?)\s*>$", r"\1", name)
