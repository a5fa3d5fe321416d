"""The class `Digis`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.digis.building import Columns, by_event, integers, ordered, run_starts
from pixlab.digis.tables import awkward_columns, pandas_columns, to_awkward, to_pandas
from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import awkward
    import pandas

__all__ = ["EVENT_ID", "Digis", "Frames"]

EVENT_ID = np.dtype([("run", "<u4"), ("lumi", "<u4"), ("event", "<u8")])


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
        named = {"detid": detid, "row": row, "col": col, "adc": adc}
        columns = {name: integers(name, column) for name, column in named.items()}
        flags = None if flag is None else np.array(flag, bool).ravel()
        given = Columns(**columns, flag=flags)
        offsets, sorted_events = by_event(integers("event", event), given, n_events)
        made = cls._from_columns(
            detector, offsets, sorted_events, event_id=event_id, duplicates=duplicates
        )
        # what was in order and of the right type may still be the caller's, who may change it
        own = {k: getattr(made, k).copy() for k in columns if getattr(made, k) is columns[k]}
        return replace(made, **own) if own else made

    @classmethod
    def _from_columns(
        cls,
        detector: Detector,
        offsets: NDArray[np.int64],
        columns: Columns,
        *,
        event_id: NDArray[Any] | None = None,
        duplicates: Literal["error", "sum"] = "error",
        first_event: int = 0,
    ) -> Digis:
        """Check and sort columns of integers whose events stand one after the other.

        `first_event` is added to the event numbers in errors.
        """
        if event_id is not None and len(event_id) != len(offsets) - 1:
            raise PixlabError(f"{len(event_id)} event ids for {len(offsets) - 1} events")
        offsets, kept = ordered(detector, offsets, columns, duplicates, first_event)
        ids = None if event_id is None else np.array(event_id, EVENT_ID)
        return cls(detector, offsets, *kept, ids)

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
        """Digis of columns that are in order already, for decoders: another order is an error.

        Raises
        ------
        PixlabError
            If a value is out of range, an id is unknown, a pixel occurs twice or the order is
            another one.
        """
        n = len(detid)
        if offsets[0] != 0 or offsets[-1] != n or (offsets[1:] < offsets[:-1]).any():
            raise PixlabError("the offsets of the events do not fit the digis")
        if any(len(c) != n for c in (row, col, adc)) or (flag is not None and len(flag) != n):
            raise PixlabError("the columns of the digis differ in length")
        columns = Columns(detid, row, col, adc, flag)
        found = cls._from_columns(
            detector, offsets, columns, event_id=event_id, first_event=first_event
        )
        if any(
            getattr(found, k) is not column and not np.array_equal(getattr(found, k), column)
            for k, column in (("detid", detid), ("row", row), ("col", col))
        ):
            raise PixlabError("the digis are not in order of event, module, row and column")
        return found

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
        columns = pandas_columns(frame)
        return cls.from_arrays(
            **columns, detector=detector, n_events=n_events, duplicates=duplicates
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
        return cls.from_arrays(**awkward_columns(array), detector=detector, duplicates=duplicates)

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
        offsets = run_starts(self.offsets, self.detid)
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
        """Events of records ``{detid, row, col, adc}`` (and ``flag``)."""
        return to_awkward(self)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a digi: event, detid, row, col, adc (and flag)."""
        return to_pandas(self)

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
