"""Columns of a ROOT tree as arrays: branches of numbers, of arrays and vectors, and single leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import FormatError
from pixlab.io.baskets import Baskets
from pixlab.io.files import DAMAGED
from pixlab.io.names import check_type
from pixlab.io.root import walk
from pixlab.io.source import Bytes

__all__ = ["Column", "ColumnPlace", "columns_of"]

# TLeaf classes of whole and other numbers: kind of the type, if it has a sign
_KINDS = {f"TLeaf{letter}": "i" for letter in "BSILG"} | {"TLeafF": "f", "TLeafD": "f"}


class ColumnPlace(NamedTuple):
    """A branch, or one of the leaves that share it (its number; -1: the only one)."""

    branch: Any
    leaf: int = -1

    @property
    def jagged(self) -> bool:
        """Whether an entry is a list of numbers."""
        import uproot

        if self.leaf >= 0:
            return False
        return isinstance(self.branch.interpretation, uproot.interpretation.jagged.AsJagged)


def columns_of(tree: Any) -> dict[str, ColumnPlace]:
    """All columns of a tree by their names; leaves that share a branch are ``branch.leaf``."""
    return dict(_places(tree))


def _places(tree: Any) -> Iterator[tuple[str, ColumnPlace]]:
    for branch in walk(tree):
        leaves = branch.member("fLeaves")
        if branch.branches:
            continue
        if len(leaves) == 1:
            yield str(branch.name), ColumnPlace(branch)
        else:
            for i, leaf in enumerate(leaves):
                yield f"{branch.name}.{leaf.member('fName')}", ColumnPlace(branch, i)


class Column:
    """One column of a tree as numbers, one or several an entry.

    Raises
    ------
    FormatError
        If it holds anything else.
    """

    def __init__(self, source: Bytes, place: ColumnPlace, *, entry: str = "event") -> None:
        branch = place.branch
        self.name = str(branch.name)
        self._at, self._header = 0, 0
        self.jagged = place.jagged
        item: int | None = None
        if place.leaf >= 0:
            self._dtype, self._at, item = self._leaf(branch, place.leaf)
        else:
            self._dtype, self._header = self._whole(branch)
            item = None if self.jagged else self._dtype.itemsize
        self._simple = place.leaf < 0 and not self.jagged
        check_type(self.name, self._dtype)
        self.baskets = Baskets(source, branch, item, entry=entry)

    @staticmethod
    def _whole(branch: Any) -> tuple[np.dtype[Any], int]:
        """Type of the numbers, and bytes before them in each entry."""
        import uproot

        kind = branch.interpretation
        jagged = isinstance(kind, uproot.interpretation.jagged.AsJagged)
        content = kind.content if jagged else kind
        if type(content) is not uproot.interpretation.numerical.AsDtype or content.inner_shape:
            raise FormatError(
                f"column '{branch.name}' holds {branch.typename}, whole numbers are needed",
                "write the column as integers",
            )
        return content.from_dtype, kind.header_bytes if jagged else 0

    def _leaf(self, branch: Any, number: int) -> tuple[np.dtype[Any], int, int | None]:
        """Type of a leaf, where it is in an entry, and the bytes of an entry if all are equal."""
        leaves = branch.member("fLeaves")
        self.name = f"{branch.name}.{leaves[number].member('fName')}"
        sizes = [int(leaf.member("fLen")) * int(leaf.member("fLenType")) for leaf in leaves]
        leaf = leaves[number]
        kind = _KINDS.get(leaf.classname, "")
        width = int(leaf.member("fLenType"))
        varying = any(one.member("fLeafCount") is not None for one in leaves[: number + 1])
        if not kind or sizes[number] != width or varying or min(sizes) < 0:
            raise FormatError(
                f"column '{self.name}' does not hold one number an entry", "write it as one number"
            )
        if kind == "i" and leaf.member("fIsUnsigned"):
            kind = "u"
        fixed = all(one.member("fLeafCount") is None for one in leaves)
        return np.dtype(f">{kind}{width}"), sum(sizes[:number]), sum(sizes) if fixed else None

    def numbers(self, start: int, stop: int) -> NDArray[Any]:
        """One number an entry."""
        native = self._dtype.newbyteorder("=")
        if self._simple:
            parts = [np.frombuffer(b, self._dtype) for b in self.baskets.equal(start, stop)]
        else:
            parts = list(self._picked(start, stop))
        out = np.empty(sum(len(part) for part in parts), native)
        at = 0
        for part in parts:  # which turns the bytes, in one go
            out[at : at + len(part)] = part
            at += len(part)
        return out

    def _picked(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """The bytes of one leaf of each entry."""
        width = self._dtype.itemsize
        for data, offsets, first in self.baskets.pieces(start, stop):
            short = np.diff(offsets) < self._at + width
            if short.any():
                row = first + int(np.argmax(short))
                raise FormatError(f"entry {row}: column '{self.name}' is damaged", DAMAGED)
            place = offsets[:-1, None] + self._at + np.arange(width)
            yield np.frombuffer(data[place].tobytes(), self._dtype)

    def arrays(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """How many numbers each entry has, and all numbers."""
        native = self._dtype.newbyteorder("=")
        counts, parts = [np.zeros(0, np.int64)], [np.zeros(0, native)]
        for data, offsets, first in self.baskets.pieces(start, stop):
            length = np.diff(offsets) - self._header
            bad = (length < 0) | (length % self._dtype.itemsize != 0)
            if bad.any():
                entry = first + int(np.flatnonzero(bad)[0])
                raise FormatError(f"event {entry}: column '{self.name}' is damaged", DAMAGED)
            content = data[offsets[0] : offsets[-1]]
            if self._header:  # of each std::vector
                keep = np.ones(len(content), bool)
                begin = offsets[:-1] - offsets[0]
                keep[(begin[:, None] + np.arange(self._header)).ravel()] = False
                content = content[keep]
            counts.append(length // self._dtype.itemsize)
            parts.append(np.frombuffer(content, self._dtype).astype(native))
        return np.concatenate(counts), np.concatenate(parts)
