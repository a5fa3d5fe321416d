"""CMS EDM files: ``edm::DetSetVector<PixelDigi>`` straight from ROOT, without CMSSW.

::

    Events ─► branch PixelDigiedmDetSetVector_<label>_<instance>_<process>.
                unsplit, or  .obj,  or  .obj._sets,  or  .obj._sets.id  and  .obj._sets.data
                baskets ─► edm_kernels.scan, fill ─► sort_modules ─► Digis

Classes: DataFormats/Common/interface/DetSetVector.h, DataFormats/SiPixelDigi/interface/PixelDigi.h
and DataFormats/Provenance/interface/EventAuxiliary.h of CMSSW.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors.cms import suggested_by
from pixlab.digis import EVENT_ID
from pixlab.errors import FormatError, PixlabError
from pixlab.io.baskets import Baskets
from pixlab.io.events import Columns, EventReader, How
from pixlab.io.files import DAMAGED, NotHere
from pixlab.io.root import MAGIC, RootFile, class_of, walk
from pixlab.io.source import Bytes

__all__ = ["NO_DIGIS", "EdmReader", "sniff"]

NO_DIGIS = "choose a file of the DIGI or PREMIX step, with PixelDigi in its tree Events"
_OLD, _NEW = "edm::DetSetVector<PixelDigi>", "edmNew::DetSetVector<PixelDigi>"


def sniff(head: bytes) -> bool:
    """Whether a file that begins so may be a CMS EDM file."""
    return head.startswith(MAGIC)


class EdmReader(EventReader):
    """Pixel digis of one branch of the tree Events.

    Parameters
    ----------
    source : Bytes
        The file.
    how : How
        ``branch`` is the full name of the branch, or a part that no other with pixel digis has.

    Raises
    ------
    NotHere
        If the file has no pixel digis in this layout.
    PixlabError
        If several branches have them and none is chosen, or the file is damaged.
    """

    def __init__(self, source: Bytes, how: How) -> None:
        super().__init__(how)
        file = RootFile.of(source)
        if "Events" not in file.trees:
            raise NotHere(f"{file} has no tree Events", NO_DIGIS, file.describe)
        tree = file.tree("Events")
        top = _choose(file, tree, how.branch)
        self.count = int(tree.member("fEntries"))
        self.prefer = suggested_by(str(top.name))
        self._form, self._ids, self._sets = _stored_as(source, top)
        for baskets in (self._sets, self._ids):
            if baskets is not None and baskets.entries != self.count:
                raise FormatError(
                    f"branch '{baskets.name}' has {baskets.entries} entries, its tree {self.count}",
                    DAMAGED,
                )
        auxiliary = next((b for b in tree.branches if b.name == "EventAuxiliary"), None)
        self._numbers = None if auxiliary is None else self._event_auxiliary(source, auxiliary)

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        counts, ids, sizes, row, col, adc, flag = self._modules(start, stop)
        ends = np.concatenate([[0], np.cumsum(sizes)])[np.concatenate([[0], np.cumsum(counts)])]
        detid = np.repeat(ids, sizes)
        return Columns(np.diff(ends), detid, row, col, adc, flag, self._event_id(start, stop))

    # -- baskets to modules -------------------------------------------------------------------
    def _modules(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Modules of each event, ids and sizes of the modules, and row, col, adc, flag of digis."""
        from pixlab.io import edm_kernels as kernels

        known = None if self._ids is None else self._split_ids(start, stop)
        parts: list[tuple[NDArray[Any], ...]] = []
        for data, offsets, first in self._sets.pieces(start, stop):
            n = len(offsets) - 1
            ids_at, digis_at, n_digis = np.zeros((3, n), np.int64)
            n_sets = np.zeros(n, np.int64)
            if known is not None:
                n_sets[:] = known[0][first - start : first - start + n]
            problem, entry = kernels.scan(
                data, offsets, self._form, n_sets, ids_at, digis_at, n_digis
            )
            if problem:
                where = f"event {first + entry}: branch '{self._sets.name}'"
                raise FormatError(
                    f"{where} {kernels.PROBLEMS[problem]}", kernels.HINTS.get(problem, DAMAGED)
                )
            # no more than the bytes of the basket divided by four, by the checks of `scan`
            ids = np.empty(0 if known is not None else n_sets.sum(), np.uint32)
            sizes, flag = np.empty(n_sets.sum(), np.int64), np.empty(n_digis.sum(), np.bool_)
            row, col, adc = np.empty((3, len(flag)), np.uint16)
            kernels.fill(
                data, n_sets, ids_at, digis_at, known is None, ids, sizes, row, col, adc, flag
            )
            parts.append((n_sets, ids, sizes, row, col, adc, flag))
        types = (np.int64, np.uint32, np.int64, np.uint16, np.uint16, np.uint16, np.bool_)
        if len(parts) == 1:
            columns = list(parts[0])
        else:
            columns = [
                np.concatenate([part[i] for part in parts] or [np.zeros(0, types[i])])
                for i in range(len(types))
            ]
        if known is not None:
            columns[1] = known[1]
        return tuple(columns)

    def _split_ids(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Modules of each event, and all ids, from the branch that has the ids alone."""
        assert self._ids is not None
        counts, ids = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
        for data, offsets, first in self._ids.pieces(start, stop):
            bytes_of = np.diff(offsets)
            if (bytes_of % 4).any():
                entry = first + int(np.flatnonzero(bytes_of % 4)[0])
                raise FormatError(f"event {entry}: the module ids are damaged", DAMAGED)
            counts.append(bytes_of // 4)
            ids.append(data[offsets[0] : offsets[-1]].view(">u4").astype(np.uint32))
        return np.concatenate(counts), np.concatenate(ids)

    # -- event numbers ------------------------------------------------------------------------
    def _event_auxiliary(self, source: Bytes, branch: Any) -> Baskets | None:
        """The branch EventAuxiliary, if its layout is known."""
        if list(branch.branches) or not self.count:
            return None
        baskets = Baskets(source, branch)
        if baskets.entries != self.count:
            raise FormatError(
                f"branch 'EventAuxiliary' has {baskets.entries} entries, its tree {self.count}",
                DAMAGED,
            )
        known = _numbers(baskets, 0, 1)[1] < 0
        return baskets if known else None

    def _event_id(self, start: int, stop: int) -> NDArray[Any] | None:
        if self._numbers is None:
            return None
        found, bad = _numbers(self._numbers, start, stop)
        if bad >= 0:
            raise FormatError(f"event {bad}: branch 'EventAuxiliary' is damaged", DAMAGED)
        return found


def _numbers(baskets: Baskets, start: int, stop: int) -> tuple[NDArray[Any], int]:
    """Event ids, and the first event without one (-1: all have)."""
    from pixlab.io import edm_kernels as kernels

    found = [np.zeros(0, EVENT_ID)]
    for data, offsets, first in baskets.pieces(start, stop):
        run, lumi = np.empty((2, len(offsets) - 1), np.uint32)
        event = np.empty(len(offsets) - 1, np.uint64)
        bad = kernels.event_numbers(data, offsets, run, lumi, event)
        if bad >= 0:
            return found[0], first + bad
        ids = np.empty(len(run), EVENT_ID)
        ids["run"], ids["lumi"], ids["event"] = run, lumi, event
        found.append(ids)
    return np.concatenate(found), -1


def _choose(file: RootFile, tree: Any, wanted: str | None) -> Any:
    """The branch with pixel digis that the user means."""
    digis, refused = {}, []
    for branch in tree.branches:
        name = str(branch.name)
        kind = re.sub(r"\s", "", class_of(branch))
        if _NEW in kind or name.startswith("PixelDigiedmNewDetSetVector_"):
            refused.append(name)
        elif kind == f"edm::Wrapper<{_OLD}>" or name.startswith("PixelDigiedmDetSetVector_"):
            digis[name] = branch
    if wanted is not None:
        refused = [name for name in refused if wanted in name]
        exact = [name for name in digis if wanted in (name, name.rstrip("."))]
        matches = exact or [name for name in digis if wanted in name]
    else:
        matches = list(digis)
    if len(matches) == 1:
        return digis[matches[0]]
    if len(matches) > 1:
        raise PixlabError(
            f"{file} has pixel digis in {len(matches)} branches: {', '.join(matches)}",
            "choose one with branch=, its name or any part that the others do not have",
        )
    if refused:
        raise PixlabError(
            f"{file} has pixel digis only as {_NEW} ({', '.join(refused)}), "
            "which pixlab does not read",
            f"choose a file with {_OLD}, such as simSiPixelDigis of the DIGI step",
        )
    if digis:
        raise PixlabError(
            f"{file} has no pixel digis in a branch like '{wanted}'",
            f"choose one of {', '.join(digis)}",
        )
    raise NotHere(f"{file} holds no pixel digis", NO_DIGIS, file.describe)


def _stored_as(source: Bytes, top: Any) -> tuple[int, Baskets | None, Baskets]:
    """How deep the branch is split: (form of the kernels, branch of ids, branch of digis)."""
    from pixlab.io import edm_kernels as kernels

    # with a dot at its end, ROOT puts a branch's name in front of its parts
    prefix = str(top.name) if str(top.name).endswith(".") else ""
    leaves = {str(b.name).removeprefix(prefix): b for b in walk(top) if not b.branches}
    if not leaves:
        return kernels.WRAPPER, None, Baskets(source, top)
    ids, data = leaves.get("obj._sets.id"), leaves.get("obj._sets.data")
    if ids is not None and data is not None:
        return kernels.DIGIS, Baskets(source, ids), Baskets(source, data)
    for name, form in (("obj", kernels.OBJECT), ("obj._sets", kernels.SETS)):
        if name in leaves:
            return form, None, Baskets(source, leaves[name])
    raise FormatError(
        f"branch '{top.name}' is split in an unknown way ({', '.join(leaves)})",
        "write the file with split level 99, 1 or 0",
    )
