"""Panes: what a shard keeps of its readings until event time has passed them, and what it then sends on.

A pane is the greatest stretch of time that divides every window's size and hop. Each series has one partial aggregate
per open pane, however many windows there are. When the watermark passes a pane's end its partials are combined to the
groups of each `by` set and sent to the window step, where tumbling and sliding windows are merges of panes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.slots import resized, runs
from operators.aggregates import Aggregate
from operators.alert_news import Census, News
from operators.assets import AssetTicks, TickStore
from operators.batches import Flags, Floats, Ints, Series
from operators.cadence import Cadence
from operators.intake import NO_WATERMARK
from operators.moments import Moments
from operators.shards import shard_of
from operators.sketch import Sketch

STATE_VERSION = 1

GroupKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One configured window; hop_ms == size_ms makes it tumbling. `by`: names of the columns it is grouped by."""

    name: str
    size_ms: int
    hop_ms: int
    by: tuple[str, ...]


def pane_ms_of(windows: Sequence[WindowSpec]) -> int:
    """The greatest common divisor of all sizes and hops; a minute without windows."""
    return gcd(*(w.size_ms for w in windows), *(w.hop_ms for w in windows)) if windows else 60_000


@dataclass(frozen=True, slots=True)
class Partials:
    """Partial aggregates: row i is the pane that begins at start_ms[i] of group keys[i]."""

    by: tuple[str, ...]
    start_ms: Ints
    keys: list[GroupKey]
    moments: Moments
    sketch: Sketch
    extra: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[Any, ...]:
        return _partials, (self.by, self.start_ms, self.keys, self.moments.state(), self.sketch.state(), self.extra)


def _partials(
    by: tuple[str, ...], start_ms: Ints, keys: list[GroupKey], moments: Any, sketch: Any, extra: tuple[Floats, ...]
) -> Partials:
    return Partials(by, start_ms, keys, Moments.from_state(moments), Sketch.from_state(sketch), extra)


@dataclass(frozen=True, slots=True)
class PaneMessage:
    """From a sensor shard to a window shard: closed panes, and how far the sensor shard's time has come.

    coarse: (length in ms, until in ms): panes before that time may be so long, because other windows were configured
        when they were opened.
    ticks: of the assets in the window shard; None when none of their ticks is over.
    news: of sensors, for alerts on their groups.
    """

    source: str
    watermark_ms: int
    origin_ms: int
    partials: tuple[Partials, ...]
    coarse: tuple[int, int]
    ticks: AssetTicks | None = None
    news: tuple[Census | News, ...] = ()


NO_GROUP = -1

NOT_COARSE = (1, NO_WATERMARK)
"""The value of `PaneMessage.coarse` when all panes are as the configuration has them."""


class PaneRows(NamedTuple):
    """Readings to aggregate, columns of one length: series slot and what `Moments.add` takes."""

    slot: Ints
    value: Floats
    time_ms: Ints
    offset: Ints
    idx: Ints
    flagged: Flags

    def take(self, rows: npt.NDArray[np.intp] | slice) -> "PaneRows":
        """Some of the rows."""
        return PaneRows._make(column[rows] for column in self)


def resumed(aggregates: Sequence[Aggregate], stored: Iterable[tuple[str, Floats]], groups: int) -> list[Floats]:
    """The stored states of one's own aggregates, by name; empty ones for those that were not there, or other, then."""
    known = dict(stored)
    states = []
    for aggregate in aggregates:
        fresh = aggregate.initialize(groups)
        state = known.get(aggregate.name, fresh)
        states.append(state if state.shape == fresh.shape else fresh)
    return states


class _Pane:
    """The partials of one open pane, by series slot."""

    __slots__ = ("extra", "moments", "sketch")

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self.moments = Moments()
        self.sketch = Sketch()
        self.extra = [aggregate.initialize(0) for aggregate in aggregates]


@dataclass(frozen=True, slots=True)
class _Closed:
    """Rows of closed panes by series: pane start and slot, partials."""

    start_ms: Ints
    slot: Ints
    moments: Moments
    sketch: Sketch
    extra: tuple[Floats, ...]


def _concatenated(parts: Sequence[_Closed], aggregates: Sequence[Aggregate]) -> _Closed:
    if len(parts) == 1:
        return parts[0]
    length = sum(len(part.slot) for part in parts)
    moments, sketch = Moments(length), Sketch()
    begin = 0
    for part in parts:
        into = np.arange(begin, begin + len(part.slot))
        moments.merge(into, part.moments)
        sketch.merge(into, part.sketch)
        begin += len(part.slot)
    extra = tuple(np.concatenate([part.extra[place] for part in parts]) for place in range(len(aggregates)))
    start_ms, slot = np.concatenate([p.start_ms for p in parts]), np.concatenate([p.slot for p in parts])
    return _Closed(start_ms, slot, moments, sketch, extra)


class PaneStore:
    """The open panes of one sensor shard, and the open ticks of its assets if they are to be judged."""

    def __init__(
        self,
        *,
        partition: int,
        pane_ms: int,
        bys: Sequence[tuple[str, ...]],
        window_shards: int,
        topic: str,
        aggregates: Sequence[Aggregate] = (),
        ticks: TickStore | None = None,
    ) -> None:
        self._partition = partition
        self._ticks = ticks
        self._pane_ms = pane_ms
        self._aggregates = tuple(aggregates)
        self._groups = [_Groups(by, window_shards=window_shards, topic=topic) for by in bys]
        self._window_shards = window_shards
        self._series = 0
        self._open: dict[int, _Pane] = {}
        self._closed_ms: int | None = None
        self._coarse = NOT_COARSE
        self._ready: list[_Closed] = []
        self._partials: list[tuple[int, Partials]] = []

    @property
    def pane_ms(self) -> int:
        """Length of a pane."""
        return self._pane_ms

    def enrol(self, slots: Ints, series: Sequence[Series]) -> None:
        """New series at these slots."""
        self._series = max(self._series, int(slots.max(initial=-1)) + 1)
        for groups in self._groups:
            groups.enrol(slots, series)
        if self._ticks is not None:
            self._ticks.enrol(slots, series)

    def forget(self, slots: Ints) -> None:
        """These series are gone, and were silent for longer than a pane; their slots are free."""
        self._combine()
        for groups in self._groups:
            groups.forget(slots)
        if self._ticks is not None:
            self._ticks.forget(slots)

    def add(self, rows: PaneRows) -> None:
        """Take in readings on time; their panes must be open."""
        if self._ticks is not None:
            self._ticks.add(rows.slot, rows.time_ms, rows.value)
        start_ms = rows.time_ms // self._pane_ms * self._pane_ms
        if len(runs(start_ms)) > 1:
            order = np.argsort(start_ms, kind="stable")
            rows, start_ms = rows.take(order), start_ms[order]
        for pane, stretch in runs(start_ms):
            self._add(pane, rows.take(stretch))

    def _add(self, start_ms: int, rows: PaneRows) -> None:
        pane = self._open.get(start_ms)
        if pane is None:
            pane = self._open[start_ms] = _Pane(self._aggregates)
        if len(pane.moments) < self._series:
            pane.moments.grow(self._series)
            for place, aggregate in enumerate(self._aggregates):
                more = aggregate.initialize(self._series - len(pane.extra[place]))
                pane.extra[place] = np.concatenate([pane.extra[place], more])
        pane.moments.add(*rows, partition=self._partition)
        pane.sketch.add(rows.slot, rows.value)
        for state, aggregate in zip(pane.extra, self._aggregates, strict=True):
            aggregate.add(state, rows.slot, rows.value, rows.time_ms)

    def close(self, watermark_ms: int, cadence: Cadence) -> None:
        """Close the panes that end at or before the watermark; expected series without readings get empty ones."""
        pane_ms = self._pane_ms
        until = watermark_ms // pane_ms * pane_ms
        oldest = min(self._open, default=until)
        begin = oldest if self._closed_ms is None else self._closed_ms
        # Where nothing is open or expected there is nothing to close: event time may jump by years.
        last = max([start + pane_ms for start in self._open if start < until], default=begin)
        end = min(until, max(last, -(-cadence.horizon_ms() // pane_ms) * pane_ms))
        if end > begin:
            rows = self._collect(np.arange(begin, end, pane_ms, dtype=np.int64), cadence)
            if len(rows.slot):
                self._ready.append(rows)
        self._closed_ms = max(until, self._closed_ms or until)

    def last_end_ms(self) -> int:
        """End of the last open pane."""
        return max(self._open, default=NO_WATERMARK) + self._pane_ms

    def _collect(self, starts: Ints, cadence: Cadence) -> _Closed:
        start, slot, expected = cadence.expected(starts, self._pane_ms)
        key = start // self._pane_ms * self._series + slot
        # A series with readings is known, but may have been forgotten within a long jump: keep it all the same.
        filled = []
        for pane_start in sorted(self._open):
            if pane_start < starts[-1] + self._pane_ms:
                used = np.flatnonzero(self._open[pane_start].moments.count)
                filled.append((pane_start, used, pane_start // self._pane_ms * self._series + used))
        extra_keys = np.concatenate([k for _, _, k in filled]) if filled else np.empty(0, np.int64)
        at = np.searchsorted(key, extra_keys)  # both ascend
        unexpected = extra_keys[np.append(key, NO_WATERMARK)[at] != extra_keys]
        if len(unexpected):
            start = np.concatenate([start, unexpected // self._series * self._pane_ms])
            slot = np.concatenate([slot, unexpected % self._series])
            expected = np.concatenate([expected, np.full(len(unexpected), np.nan)])
            key = np.concatenate([key, unexpected])
            order = np.argsort(key)
            start, slot, expected, key = start[order], slot[order], expected[order], key[order]
        moments, sketch = Moments(len(key)), Sketch()
        moments.expected[:] = expected
        extra = tuple(aggregate.initialize(len(key)) for aggregate in self._aggregates)
        for pane_start, used, used_key in filled:
            pane = self._open.pop(pane_start)
            into = np.searchsorted(key, used_key)
            moments.merge(into, pane.moments.select(used))
            sketch.merge(into, pane.sketch.select(used))
            for state, theirs, aggregate in zip(extra, pane.extra, self._aggregates, strict=True):
                aggregate.merge(state, into, theirs[used])
        return _Closed(start, slot, moments, sketch, extra)

    def messages(
        self, source: str, watermark_ms: int, origin_ms: int, *, last: bool = False
    ) -> list[tuple[int, PaneMessage]]:
        """What was closed since the last call, for each window shard, with the shard's time.

        last: nothing follows, so ticks that are not over are given out, too.
        """
        self._combine()
        partials: list[list[Partials]] = [[] for _ in range(self._window_shards)]
        for shard, part in self._partials:
            partials[shard].append(part)
        self._partials = []
        ticks = {} if self._ticks is None else self._ticks.messages(None if last else watermark_ms)
        return [
            (shard, PaneMessage(source, watermark_ms, origin_ms, tuple(parts), self._coarse, ticks.get(shard)))
            for shard, parts in enumerate(partials)
        ]

    def _combine(self) -> None:
        """What was closed, by group instead of by series."""
        if self._ready:
            closed = _concatenated(self._ready, self._aggregates)
            self._ready = []
            for groups in self._groups:
                self._partials += groups.combine(closed, self._pane_ms, self._aggregates)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays of the open panes. `messages` has been called before."""
        names = [aggregate.name for aggregate in self._aggregates]
        panes = tuple(
            (
                start,
                pane.moments.state(),
                pane.sketch.state(),
                tuple((name, state.copy()) for name, state in zip(names, pane.extra, strict=True)),
            )
            for start, pane in self._open.items()
        )
        ticks = None if self._ticks is None else self._ticks.snapshot()
        return (STATE_VERSION, self._pane_ms, self._coarse, self._closed_ms, panes, ticks)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`, after `enrol`.

        With other windows configured the pane length may differ: the common divisor of both keeps the open panes exact
        for the windows there were; for others they are too coarse, which is told with every message.
        """
        _, pane_ms, self._coarse, self._closed_ms, panes, ticks = state
        if self._ticks is not None and ticks is not None:
            self._ticks.load(ticks)
        self._pane_ms = gcd(self._pane_ms, pane_ms)
        if self._pane_ms < pane_ms and panes:
            length_ms, until_ms = self._coarse
            self._coarse = (max(length_ms, pane_ms), max(until_ms, max(start for start, *_ in panes) + pane_ms))
        for start, moments, sketch, extra in panes:
            pane = self._open[start] = _Pane(self._aggregates)
            pane.moments, pane.sketch = Moments.from_state(moments), Sketch.from_state(sketch)
            pane.extra = resumed(self._aggregates, extra, len(pane.moments))


class _Groups:
    """The groups of one `by` set: from series slot to group, from group to window shard."""

    def __init__(self, by: tuple[str, ...], *, window_shards: int, topic: str) -> None:
        self._by = by
        self._topic = topic
        self._window_shards = window_shards
        self._codes: dict[GroupKey, int] = {}
        self._keys: list[GroupKey] = []
        self._group_of = np.empty(0, np.int64)
        self._shard_of = np.empty(0, np.int64)

    def enrol(self, slots: Ints, series: Sequence[Series]) -> None:
        """New series at these slots."""
        fresh = []
        for one in series:
            key = tuple(self._topic if name == "topic" else getattr(one, name) for name in self._by)
            code = self._codes.setdefault(key, len(self._keys))
            if code == len(self._keys):
                self._keys.append(key)
            fresh.append(code)
        shards = [shard_of("\0".join(key), self._window_shards) for key in self._keys[len(self._shard_of) :]]
        self._group_of = resized(self._group_of, int(slots.max(initial=-1)) + 1, NO_GROUP)
        self._group_of[slots] = fresh
        self._shard_of = np.concatenate([self._shard_of, np.array(shards, np.int64)])

    def forget(self, slots: Ints) -> None:
        """These series are gone, and the groups that have none left."""
        self._group_of[slots] = NO_GROUP
        there = np.flatnonzero(self._group_of != NO_GROUP)
        used, codes = np.unique(self._group_of[there], return_inverse=True)
        self._group_of[there] = codes
        self._shard_of = self._shard_of[used]
        self._keys = [self._keys[code] for code in used.tolist()]
        self._codes = {key: code for code, key in enumerate(self._keys)}

    def combine(self, rows: _Closed, pane_ms: int, aggregates: Sequence[Aggregate]) -> list[tuple[int, Partials]]:
        """The rows by group instead of by series, split by window shard."""
        # By window shard first, so that each shard's part is a stretch of the result.
        panes, groups = rows.start_ms // pane_ms, len(self._keys)
        first, group = panes.min(), self._group_of[rows.slot]
        span = panes.max() - first + 1
        unique, into = np.unique((self._shard_of[group] * span + panes - first) * groups + group, return_inverse=True)
        moments, sketch = Moments(len(unique)), Sketch()
        moments.merge(into, rows.moments)
        sketch.merge(into, rows.sketch)
        extra = [aggregate.initialize(len(unique)) for aggregate in aggregates]
        for state, theirs, aggregate in zip(extra, rows.extra, aggregates, strict=True):
            aggregate.merge(state, into, theirs)
        start_ms, code = (unique // groups % span + first) * pane_ms, unique % groups
        keys = [self._keys[c] for c in code.tolist()]
        ends = np.searchsorted(self._shard_of[code], np.arange(self._window_shards), side="right").tolist()
        parts = []
        for shard, (begin, end) in enumerate(pairwise([0, *ends])):
            if begin < end:
                part = moments.part(begin, end), sketch.part(begin, end), tuple(state[begin:end] for state in extra)
                parts.append((shard, Partials(self._by, start_ms[begin:end], keys[begin:end], *part)))
        return parts
