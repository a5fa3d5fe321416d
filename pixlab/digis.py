"""`Digis`: the only event container of pixlab.

One row a digi (a pixel above threshold in one event), always sorted by event, module id, row
and column, always inside the detector it names. Everything else takes and gives `Digis`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import awkward
    import pandas

__all__ = ["EVENT_ID", "Digis", "Frames"]

EVENT_ID = np.dtype([("run", "<u4"), ("lumi", "<u4"), ("event", "<u8")])


_FIELDS = ("detid", "row", "col", "adc")


class Frames(NamedTuple):
    """Groups of digis of one module in one event, in the order of the digis.

    ``offsets``: int64[frames + 1], first digi of each frame; ``event``: int64[frames];
    ``module``: int32[frames], index into the detector's module table.
    """

    offsets: NDArray[np.int64]
    event: NDArray[np.int64]
    module: NDArray[np.int32]


@dataclass(frozen=True, eq=False, repr=False)
class Digis:
    """Pixel digis of a number of events; build it with `from_arrays`.

    Parameters
    ----------
    detector : Detector
        What the ids mean.
    offsets : int64[events + 1]
        First digi of each event; events without digis are included.
    detid : uint32[n]
        Raw module id.
    row, col, adc : uint16[n]
        Pixel row and column in the module, and charge in counts.
    flag : bool[n], optional
        The flag bit of the CMS digi word, where the file has it.
    event_id : EVENT_ID[events], optional
        run, lumi and event number, where the file has them.
    """

    detector: Detector
    offsets: NDArray[np.int64]
    detid: NDArray[np.uint32]
    row: NDArray[np.uint16]
    col: NDArray[np.uint16]
    adc: NDArray[np.uint16]
    flag: NDArray[np.bool_] | None = None
    event_id: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value.setflags(write=False)

    # -- making them ------------------------------------------------------------------------
    @classmethod
    def from_arrays(
        cls,
        event: ArrayLike,
        detid: ArrayLike,
        row: ArrayLike,
        col: ArrayLike,
        adc: ArrayLike,
        *,
        detector: str | Detector,
        n_events: int | None = None,
        flag: ArrayLike | None = None,
        event_id: NDArray[Any] | None = None,
        duplicates: Literal["error", "sum"] = "error",
    ) -> Digis:
        """Check, sort and freeze digis given as one array a column.

        Parameters
        ----------
        event : int array[n]
            Index of the event, from 0.
        detid, row, col, adc : int array[n]
            Module id, pixel row and column, charge in counts.
        detector : str or Detector
            Name in `DETECTORS`, or the detector itself.
        n_events : int, optional
            Number of events, counting empty ones at the end; default: the last event with a digi.
        flag : bool array[n], optional
            Flag bit of each digi.
        event_id : EVENT_ID[events], optional
            run, lumi and event number.
        duplicates : {"error", "sum"}
            What to do where one pixel occurs twice in an event: refuse, or add the counts
            (saturating at the detector's `adc_max`).

        Raises
        ------
        PixlabError
            If columns differ in length or type, a value is out of range, an id is unknown or a
            pixel occurs twice.
        """
        detector = get_detector(detector)
        columns = {"event": event, "detid": detid, "row": row, "col": col, "adc": adc}
        values = {name: _integers(name, column) for name, column in columns.items()}
        n = len(values["event"])
        for name, column in values.items():
            if len(column) != n:
                raise PixlabError(f"column '{name}' has {len(column)} entries, 'event' has {n}")
        flags = None if flag is None else np.asarray(flag).astype(bool)
        if flags is not None and flags.shape != (n,):
            raise PixlabError(f"column 'flag' has {flags.size} entries, 'event' has {n}")
        ev = values["event"]
        if n and int(ev.min()) < 0:
            raise PixlabError(f"event {int(ev.min())} is negative", "number events from 0")
        last = int(ev.max()) + 1 if n else 0
        n_events = last if n_events is None else int(n_events)
        if n_events < last:
            raise PixlabError(
                f"a digi belongs to event {last - 1}, but there are {n_events} events"
            )
        if event_id is not None and len(event_id) != n_events:
            raise PixlabError(f"{len(event_id)} event ids for {n_events} events")

        module = _modules_of(detector, values["detid"])
        for name, limit in (("row", detector.rows[module]), ("col", detector.cols[module])):
            _check_range(name, values, limit)
        _check_range("adc", values, detector.adc_max + 1)

        key_row, key_col = (values[k].astype(np.uint64) for k in ("row", "col"))
        bits_row = int(detector.rows.max(initial=1) - 1).bit_length()
        bits_col = int(detector.cols.max(initial=1) - 1).bit_length()
        bits_module = (len(detector) - 1).bit_length() if len(detector) else 0
        if bits_row + bits_col + bits_module + n_events.bit_length() > 64:
            raise PixlabError(f"{n_events} events are too many for one block of digis")
        key = ((ev.astype(np.uint64) << np.uint64(bits_module)) | module.astype(np.uint64)) << (
            np.uint64(bits_row + bits_col)
        ) | (key_row << np.uint64(bits_col) | key_col)
        step = key[1:] > key[:-1]
        counts = values["adc"]
        if not step.all():
            order = np.argsort(key, kind="stable")
            key = key[order]
            values = {name: column[order] for name, column in values.items()}
            flags = None if flags is None else flags[order]
            counts = values["adc"]
            first = np.concatenate([[True], key[1:] != key[:-1]])
            if not first.all():
                if duplicates != "sum":
                    i = int(np.flatnonzero(~first)[0])
                    raise PixlabError(
                        f"event {int(values['event'][i])}: pixel row {int(values['row'][i])}, "
                        f"col {int(values['col'][i])} of module {int(values['detid'][i])} "
                        "occurs twice",
                        'pass duplicates="sum" to add the counts',
                    )
                counts = np.minimum(
                    np.add.reduceat(counts.astype(np.int64), np.flatnonzero(first)),
                    detector.adc_max,
                )
                if flags is not None:
                    flags = np.logical_or.reduceat(flags, np.flatnonzero(first))
                values = {name: column[first] for name, column in values.items()}
        offsets = np.searchsorted(values["event"], np.arange(n_events + 1)).astype(np.int64)
        return cls(
            detector=detector,
            offsets=offsets,
            detid=values["detid"].astype(np.uint32),
            row=values["row"].astype(np.uint16),
            col=values["col"].astype(np.uint16),
            adc=counts.astype(np.uint16),
            flag=flags,
            event_id=None if event_id is None else np.array(event_id, EVENT_ID),
        )

    @classmethod
    def _from_sorted(
        cls,
        detector: Detector,
        offsets: NDArray[np.int64],
        detid: NDArray[np.uint32],
        row: NDArray[np.uint16],
        col: NDArray[np.uint16],
        adc: NDArray[np.uint16],
        *,
        flag: NDArray[np.bool_] | None = None,
        event_id: NDArray[Any] | None = None,
        first_event: int = 0,
    ) -> Digis:
        """Digis of columns that are in order already, for decoders: `from_arrays` without the sort.

        Everything is still checked; `first_event` is added to the event numbers in errors.

        Raises
        ------
        PixlabError
            If a value is out of range, an id is unknown, a pixel occurs twice or the order is
            another one.
        """
        n = len(detid)
        if offsets[0] != 0 or offsets[-1] != n or (offsets[1:] < offsets[:-1]).any():
            raise PixlabError("the offsets of the events do not fit the digis")
        if event_id is not None and len(event_id) != len(offsets) - 1:
            raise PixlabError(f"{len(event_id)} event ids for {len(offsets) - 1} events")
        digis = cls(detector, offsets, detid, row, col, adc, flag, event_id)
        if any(len(c) != n for c in (row, col, adc)) or (flag is not None and len(flag) != n):
            raise PixlabError("the columns of the digis differ in length")
        if not n:
            return digis
        frames = digis.frames  # finds unknown ids
        rows, cols = detector.rows, detector.cols
        if row.max() >= rows.min() or col.max() >= cols.min() or adc.max() > detector.adc_max:
            event = digis.event + first_event
            values: dict[str, Any] = {"event": event, "detid": detid}
            values |= {"row": row, "col": col, "adc": adc}
            _check_range("row", values, rows[digis.module])
            _check_range("col", values, cols[digis.module])
            _check_range("adc", values, detector.adc_max + 1)
        pixel = row.astype(np.uint32) << np.uint32(16) | col
        rising = pixel[1:] > pixel[:-1]
        rising[frames.offsets[1:-1] - 1] = True
        ahead = frames.event[1:] == frames.event[:-1]
        if not rising.all() or (ahead & (frames.module[1:] <= frames.module[:-1])).any():
            # the slow way finds the duplicate and names it
            event = digis.event + first_event
            cls.from_arrays(event, detid, row, col, adc, detector=detector)
            raise PixlabError("the digis are not in order of event, module, row and column")
        return digis

    @classmethod
    def from_pandas(
        cls,
        frame: pandas.DataFrame,
        *,
        detector: str | Detector,
        n_events: int | None = None,
        duplicates: Literal["error", "sum"] = "error",
    ) -> Digis:
        """Digis of a table with one row a digi, such as `to_pandas` gives.

        Parameters
        ----------
        frame : DataFrame
            Columns (or levels of the index) ``event, detid, row, col, adc`` and, optionally,
            ``flag``, in upper or lower case. Other columns are ignored.
        detector, n_events, duplicates
            As for `from_arrays`.

        Raises
        ------
        PixlabError
            As `from_arrays`, or if a column is missing, has gaps or occurs twice.
        """
        named = [name for name in frame.index.names if name is not None]
        table = frame.reset_index(level=named) if named else frame
        names = [str(name).lower() for name in table.columns]
        columns = {name: table.iloc[:, names.index(name)] for name in names}
        _check_columns({"event", *_FIELDS}, names)
        for name in ("event", *_FIELDS, "flag"):
            if name in columns and columns[name].isna().any():
                raise PixlabError(f"column '{name}' has rows without a value", "fill or drop them")
        flag = columns.get("flag")
        return cls.from_arrays(
            **{name: columns[name].to_numpy() for name in ("event", *_FIELDS)},
            detector=detector,
            n_events=n_events,
            flag=None if flag is None else flag.to_numpy(),
            duplicates=duplicates,
        )

    @classmethod
    def from_awkward(
        cls,
        array: awkward.Array,
        *,
        detector: str | Detector,
        duplicates: Literal["error", "sum"] = "error",
    ) -> Digis:
        """Digis of one list an event, such as `to_awkward` gives.

        Parameters
        ----------
        array : awkward.Array
            Lists of records, or records of lists, with the fields ``detid, row, col, adc`` and,
            optionally, ``flag``, in upper or lower case. Empty lists are events without digis.
        detector, duplicates
            As for `from_arrays`.

        Raises
        ------
        PixlabError
            As `from_arrays`, or if a field is missing, occurs twice or is no list an event.
        """
        import awkward as ak

        names = [name.lower() for name in ak.fields(array)]
        _check_columns(set(_FIELDS), names)
        values: dict[str, Any] = {}
        counts: NDArray[Any] | None = None
        for name, field in zip(names, ak.fields(array), strict=True):
            if name not in (*_FIELDS, "flag"):
                continue
            lists = array[field]
            if lists.ndim != 2 or ak.any(ak.is_none(lists)) or ak.any(ak.is_none(lists, axis=1)):
                raise PixlabError(f"field '{name}' is no list of numbers an event, without gaps")
            number = ak.to_numpy(ak.num(lists))
            if counts is not None and not np.array_equal(number, counts):
                event = int(np.flatnonzero(number != counts)[0])
                raise PixlabError(f"event {event}: field '{name}' has another length than others")
            counts, values[name] = number, ak.to_numpy(ak.flatten(lists))
        assert counts is not None  # there are all of _FIELDS
        return cls.from_arrays(
            np.repeat(np.arange(len(counts)), counts),
            **values,
            detector=detector,
            n_events=len(counts),
            duplicates=duplicates,
        )

    @classmethod
    def empty(cls, detector: str | Detector, n_events: int = 0) -> Digis:
        """`n_events` events without a single digi."""
        none = np.zeros(0, np.int64)
        return cls.from_arrays(none, none, none, none, none, detector=detector, n_events=n_events)

    @staticmethod
    def concatenate(parts: Sequence[Digis]) -> Digis:
        """The events of all parts, one after the other.

        Raises
        ------
        PixlabError
            If there is no part, or they are of different detectors.
        """
        if not parts:
            raise PixlabError("nothing to concatenate")
        if any(p.detector != parts[0].detector for p in parts):
            raise PixlabError(
                "parts of different detectors cannot be joined: "
                + ", ".join(sorted({p.detector.name for p in parts}))
            )
        starts = np.cumsum([0] + [p.n_digis for p in parts])
        offsets = [p.offsets[:-1] + s for p, s in zip(parts, starts, strict=False)]
        flags = [p.flag for p in parts]
        ids = [p.event_id for p in parts]
        return Digis(
            detector=parts[0].detector,
            offsets=np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
            detid=np.concatenate([p.detid for p in parts]),
            row=np.concatenate([p.row for p in parts]),
            col=np.concatenate([p.col for p in parts]),
            adc=np.concatenate([p.adc for p in parts]),
            flag=None if any(f is None for f in flags) else np.concatenate(flags),  # type: ignore[arg-type]
            event_id=None if any(i is None for i in ids) else np.concatenate(ids),  # type: ignore[arg-type]
        )

    # -- sizes and groups -------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_digis(self) -> int:
        """Number of digis in all events."""
        return len(self.detid)

    @property
    def event(self) -> NDArray[np.int64]:
        """Index of the event of each digi: int64[n]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def frames(self) -> Frames:
        """Where each module's digis of one event begin and end."""
        n = self.n_digis
        change = np.ones(n + 1, bool)
        if n:
            np.not_equal(self.detid[1:], self.detid[:-1], out=change[1:-1])
            change[self.offsets] = True
        offsets = np.flatnonzero(change).astype(np.int64)
        first = offsets[:-1]
        event = np.searchsorted(self.offsets, first, side="right") - 1
        return Frames(offsets, event, self.detector.index(self.detid[first]))

    @property
    def module(self) -> NDArray[np.int32]:
        """Index into the detector's module table of each digi: int32[n]."""
        return np.repeat(self.frames.module, np.diff(self.frames.offsets))

    @property
    def electrons(self) -> NDArray[np.float32]:
        """Charge of each digi in electrons: float32[n]."""
        return self.detector.electrons(self.adc, self.module)

    # -- choosing ---------------------------------------------------------------------------
    def __getitem__(self, events: int | slice | ArrayLike) -> Digis:
        """The digis of one event, a slice of events, a bool mask or a list of events."""
        if isinstance(events, (int, np.integer)):
            if not -len(self) <= events < len(self):
                raise IndexError(f"event {events} of {len(self)}")
            chosen = np.array([events % len(self)])
        else:
            chosen = np.arange(len(self))[
                events if isinstance(events, slice) else np.asarray(events)
            ]
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        if len(chosen) and (np.diff(chosen) == 1).all():
            take: Any = slice(int(self.offsets[chosen[0]]), int(self.offsets[chosen[-1] + 1]))
        else:
            take = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        ids = None if self.event_id is None else self.event_id[chosen]
        return self._take(take, offsets, ids)

    def __iter__(self) -> Iterator[Digis]:
        return (self[i] for i in range(len(self)))

    def select(
        self, *, layer: str | None = None, detid: int | None = None, mask: ArrayLike | None = None
    ) -> Digis:
        """The digis of one layer, one module or a mask over digis; all events stay.

        Raises
        ------
        PixlabError
            If the detector has no such layer or module.
        """
        keep = np.ones(self.n_digis, bool) if mask is None else np.array(mask, bool)
        if layer is not None:
            keep &= self.detector.in_layer(layer)[self.module]
        if detid is not None:
            self.detector.index(detid)
            keep &= self.detid == detid
        before = np.concatenate([[0], np.cumsum(keep)])
        return self._take(keep, before[self.offsets].astype(np.int64), self.event_id)

    def _take(self, take: Any, offsets: NDArray[np.int64], event_id: Any) -> Digis:
        return Digis(
            self.detector,
            offsets,
            self.detid[take],
            self.row[take],
            self.col[take],
            self.adc[take],
            None if self.flag is None else self.flag[take],
            event_id,
        )

    def with_adc(self, adc: ArrayLike) -> Digis:
        """The same pixels with other counts (already inside the detector's range)."""
        return Digis(
            self.detector,
            self.offsets,
            self.detid,
            self.row,
            self.col,
            np.asarray(adc).astype(np.uint16),
            self.flag,
            self.event_id,
        )

    def image(self, event: int, detid: int) -> np.ma.MaskedArray:
        """The hit map of one module in one event, adc counts: masked uint16[rows, cols].

        Pixels without a digi are masked, so that a count of 0 is not taken for a missing hit.
        """
        index = int(self.detector.index(detid))
        one = self[event].select(detid=detid)
        shape = (int(self.detector.rows[index]), int(self.detector.cols[index]))
        image = np.ma.masked_all(shape, np.uint16)
        image[one.row, one.col] = one.adc
        return image

    # -- other containers -------------------------------------------------------------------
    def to_awkward(self) -> awkward.Array:
        """Events of records ``{detid, row, col, adc}``."""
        import awkward as ak

        layout = ak.zip({k: getattr(self, k) for k in ("detid", "row", "col", "adc")})
        return ak.unflatten(layout, np.diff(self.offsets))

    def to_pandas(self) -> pandas.DataFrame:
        """One row a digi: event, detid, row, col, adc (and flag)."""
        import pandas as pd

        columns = {"event": self.event, "detid": self.detid, "row": self.row, "col": self.col}
        frame = pd.DataFrame(columns | {"adc": self.adc})
        if self.flag is not None:
            frame["flag"] = self.flag
        return frame

    # -- equality and display ---------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        """Same detector, events and digis; flags and event ids count where both have them."""
        if not isinstance(other, Digis):
            return NotImplemented
        same = self.detector == other.detector and all(
            np.array_equal(getattr(self, k), getattr(other, k))
            for k in ("offsets", "detid", "row", "col", "adc")
        )
        for k in ("flag", "event_id"):
            mine, theirs = getattr(self, k), getattr(other, k)
            same = same and (mine is None or theirs is None or np.array_equal(mine, theirs))
        return same

    __hash__ = None  # type: ignore[assignment]

    def per_layer(self) -> dict[str, int]:
        """Number of digis in each layer."""
        sizes = np.diff(self.frames.offsets)
        layer = self.detector.layer[self.frames.module]
        counts = np.bincount(layer, sizes, minlength=len(self.detector.layers)).astype(int)
        return dict(zip(self.detector.layers, counts.tolist(), strict=True))

    def __repr__(self) -> str:
        return f"<Digis {self.detector.name}: {len(self)} events, {self.n_digis:,} digis>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{layer}</td><td>{n:,}</td><td>{n / max(len(self), 1):,.1f}</td></tr>"
            for layer, n in self.per_layer().items()
        )
        return (
            f"<b>Digis</b>, detector {self.detector.name}: {len(self):,} events, "
            f"{self.n_digis:,} digis<table><thead><tr><th>layer</th><th>digis</th>"
            f"<th>digis / event</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def _check_columns(needed: set[str], names: list[str]) -> None:
    """Whether each of the needed columns is there, once."""
    for name in sorted(needed):
        if names.count(name) != 1:
            what = "occurs twice" if name in names else "is missing"
            raise PixlabError(
                f"column '{name}' {what} (there are {', '.join(names[:12]) or 'none'})",
                f"digis need the columns {', '.join(sorted(needed))}, each once",
            )


def _integers(name: str, column: ArrayLike) -> NDArray[Any]:
    values = np.asarray(column)
    if values.ndim != 1:
        raise PixlabError(f"column '{name}' has {values.ndim} dimensions, one is needed")
    if values.dtype.kind not in "iu" and len(values):
        raise PixlabError(
            f"column '{name}' holds {values.dtype}, integers are needed",
            f"convert it, for instance with {name}.astype('int64')",
        )
    return values.astype(np.int64) if values.dtype.kind not in "iu" else values


def _modules_of(detector: Detector, detid: NDArray[Any]) -> NDArray[np.int32]:
    """Module table index of each digi; ids come in runs, so only their beginnings are looked up."""
    if not len(detid):
        return np.zeros(0, np.int32)
    start = np.flatnonzero(np.concatenate([[True], detid[1:] != detid[:-1]]))
    return np.repeat(detector.index(detid[start]), np.diff(np.append(start, len(detid))))


def _check_range(name: str, values: dict[str, NDArray[Any]], limit: Any) -> None:
    column = values[name]
    bad = (column >= limit) if column.dtype.kind == "u" else (column < 0) | (column >= limit)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        top = int(np.broadcast_to(limit, column.shape)[i]) - 1
        raise PixlabError(
            f"event {int(values['event'][i])}, module {int(values['detid'][i])}: "
            f"{name} {int(column[i])} is outside 0 to {top}",
            "check the column, or choose the detector that the file was made with",
        )
