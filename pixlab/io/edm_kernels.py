"""The bytes of DetSetVector<PixelDigi>, parsed by compiled loops over whole baskets.

An entry is, from the outside in (big-endian; a header is a byte count u4 with bit 30 set and a
version u2; version 0 is followed by a checksum u4)::

    WRAPPER  header of the base class and its members | present u1 | OBJECT
    OBJECT   header | SETS | anything, such as _alreadySorted
    SETS     header with version bit 14 | class version u2 | N u4 | N ids u4 | DIGIS (if N > 0)
    DIGIS    header with version bit 14 | class version u2 | N times: n u4, n digi words u4

ROOT writes members one after the other (bit 14, "member-wise"), which uproot does not read.
Branches that are split start further in; a fully split branch has DIGIS alone, its ids stand in
another branch. Every count is compared with the bytes that are left before it is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "DIGIS",
    "HINTS",
    "OBJECT",
    "PROBLEMS",
    "SETS",
    "WRAPPER",
    "event_numbers",
    "fill",
    "scan",
]

WRAPPER, OBJECT, SETS, DIGIS = 0, 1, 2, 3
_COUNT_BIT, _COUNT_MASK, _MEMBERWISE = 0x40000000, 0x3FFFFFFF, 0x4000

# what `scan` found, to be read after "branch '…'"
PROBLEMS = {
    1: "is damaged: a header runs past its end",
    2: "is stored object by object, which CMS files never are",
    3: "is damaged: more modules than bytes",
    4: "is damaged: a module with more digis than bytes",
    5: "is damaged: bytes are left over",
    6: "is damaged: fewer modules than ids",
}
HINTS = {2: "write the file with ROOT's default, TVirtualStreamerInfo::SetStreamMemberWise(true)"}


@njit(cache=True, nogil=True)
def _u4(data, at):  # type: ignore[no-untyped-def]
    """Big-endian u4; the caller has checked that four bytes are there."""
    return (
        (np.uint32(data[at]) << np.uint32(24))
        | (np.uint32(data[at + 1]) << np.uint32(16))
        | (np.uint32(data[at + 2]) << np.uint32(8))
        | np.uint32(data[at + 3])
    )


@njit(cache=True, nogil=True)
def _header(data, at, stop, collection):  # type: ignore[no-untyped-def]
    """(where the content begins, where it ends, version); the end is -1 if it does not fit."""
    if stop - at < 6:
        return at, np.int64(-1), np.int64(0)
    count = np.int64(_u4(data, at))
    end = at + 4 + (count & _COUNT_MASK)
    version = (np.int64(data[at + 4]) << 8) | np.int64(data[at + 5])
    at += 6
    if count & _COUNT_BIT == 0 or end > stop or at > end:
        return at, np.int64(-1), version
    described = version
    if collection and version & _MEMBERWISE:
        if end - at < 2:
            return at, np.int64(-1), version
        described = (np.int64(data[at]) << 8) | np.int64(data[at + 1])
        at += 2
    if described == 0:  # a class without a version is described by a checksum
        at += 4
        if at > end:
            return at, np.int64(-1), version
    return at, end, version


@njit(cache=True, nogil=True)
def scan(data, offsets, form, n_sets, ids_at, digis_at, n_digis):  # type: ignore[no-untyped-def]
    """Check all entries of a piece and count what is in them.

    Parameters
    ----------
    data : uint8[:]
        Content of the basket.
    offsets : int64[entries + 1]
        Where the entries are.
    form : int
        WRAPPER, OBJECT, SETS or DIGIS.
    n_sets : int64[entries]
        Modules of each entry: given for DIGIS, else filled.
    ids_at, digis_at, n_digis : int64[entries]
        Filled: where the ids and the first module's digis begin, and how many digis there are.

    Returns
    -------
    problem : int
        0, or a key of `PROBLEMS`.
    entry : int
        Where it is.
    """
    for e in range(len(offsets) - 1):
        at, stop = offsets[e], offsets[e + 1]
        last = stop
        if form == WRAPPER:
            at, end, version = _header(data, at, stop, False)
            if end < 0 or end + 1 > stop:
                return 1, e
            at = end + 1  # past the base class and `present`
        if form <= OBJECT:
            at, last, version = _header(data, at, stop, False)
            if last < 0:
                return 1, e
        if form <= SETS:
            at, end, version = _header(data, at, last, True)
            if end < 0 or end - at < 4:
                return 1, e
            if version & _MEMBERWISE == 0:
                return 2, e
            last = end
            count = np.int64(_u4(data, at))
            at += 4
            if count > (last - at) // 4:
                return 3, e
            n_sets[e] = count
            ids_at[e] = at
            at += 4 * count
        n_digis[e] = 0
        if form == DIGIS or n_sets[e] > 0 or at < last:
            at, end, version = _header(data, at, last, True)
            if end < 0:
                return 1, e
            if version & _MEMBERWISE == 0:
                return 2, e
            digis_at[e] = at
            for _ in range(n_sets[e]):
                if last - at < 4 or end - at < 4:
                    return 6, e
                count = np.int64(_u4(data, at))
                at += 4
                if count > (end - at) // 4:
                    return 4, e
                n_digis[e] += count
                at += 4 * count
            if at != end:
                return 5, e
        if at != last:
            return 5, e
    return 0, 0


@njit(cache=True, nogil=True)
def fill(data, n_sets, ids_at, digis_at, with_ids, ids, sizes, row, col, adc, flag):  # type: ignore[no-untyped-def]
    """Copy what `scan` has checked: ids and sizes of the modules, and their digis.

    A digi word has, from the lowest bit up, 11 bits of row, 10 of column, a flag and 10 of adc.
    """
    s, d = 0, 0
    for e in range(len(n_sets)):
        if with_ids:
            for i in range(n_sets[e]):
                ids[s + i] = _u4(data, ids_at[e] + 4 * i)
        at = digis_at[e]
        for _ in range(n_sets[e]):
            count = np.int64(_u4(data, at))
            at += 4
            sizes[s] = count
            s += 1
            for i in range(count):
                word = _u4(data, at + 4 * i)
                row[d + i] = word & np.uint32(0x7FF)
                col[d + i] = word >> np.uint32(11) & np.uint32(0x3FF)
                flag[d + i] = word >> np.uint32(21) & np.uint32(1)
                adc[d + i] = word >> np.uint32(22)
            d += count
            at += 4 * count


@njit(cache=True, nogil=True)
def event_numbers(data, offsets, run, lumi, event):  # type: ignore[no-untyped-def]
    """Fill run, luminosity block and event number from entries of EventAuxiliary.

    An entry is ``header, process history | header of EventID, run u4, lumi u4, event u8 (u4 in
    old files) | …``. Returns the first entry that is not like this, or -1.
    """
    for e in range(len(offsets) - 1):
        at, stop = offsets[e], offsets[e + 1]
        at, end, _ = _header(data, at, stop, False)
        if end < 0:
            return e
        at, end, _ = _header(data, end, stop, False)
        if end < 0 or (end - at != 16 and end - at != 12):
            return e
        run[e] = _u4(data, at)
        lumi[e] = _u4(data, at + 4)
        event[e] = _u4(data, at + 8)
        if end - at == 16:
            event[e] = (event[e] << np.uint64(32)) | np.uint64(_u4(data, at + 12))
    return -1
