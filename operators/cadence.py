"""How often each series speaks: its interval, its gaps, whether it is still expected.

The interval is the configured one, else the median of the last distances between readings. Fed in segments between two
pane ends, so that what a pane expects depends on the rows before its end and not on how batches were cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.compiled import compiled
from models.slots import column, resized
from operators.batches import Flags, Floats, Ints
from operators.quality import NO_END

RING = 15
"""Distances between readings that are remembered; their median is the learnt interval."""
FIRST = 5
"""Distances after which an interval is first learnt."""

STATE_VERSION = 1
_NEVER = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Rows for data_quality: a series, its last reading before the gap, the first after it (NO_END while it lasts).

    missing: readings expected in between; 0 while it lasts.
    """

    slot: Ints
    start_ms: Ints
    end_ms: Ints
    missing: Ints

    def __len__(self) -> int:
        return len(self.slot)


@compiled
def _observe(
    slot: Ints,
    time_ms: Ints,
    factor: float,
    configured: Floats,
    first: Ints,
    newest: Ints,
    ring: Floats,
    seen: Ints,
    learnt: Floats,
    waiting: Flags,
    where: Ints,
    start: Ints,
    end: Ints,
    missing: Ints,
) -> int:
    found = 0
    for i in range(len(slot)):
        s, t = slot[i], time_ms[i]
        if first[s] == _NEVER or t < first[s]:
            first[s] = t
        if newest[s] == _NEVER:
            newest[s] = t
            continue
        if t <= newest[s]:
            continue
        distance = t - newest[s]
        interval = configured[s] if not np.isnan(configured[s]) else learnt[s]
        if distance > factor * interval:  # false while the interval is NaN
            where[found], start[found], end[found] = s, newest[s], t
            missing[found] = max(1, int(np.round(distance / interval)) - 1)
            found += 1
        ring[s, seen[s] % RING] = distance
        seen[s] += 1
        if seen[s] == FIRST or seen[s] % RING == 0:
            learnt[s] = np.median(ring[s, : min(seen[s], RING)])
        waiting[s] = False
        newest[s] = t
    return found


class Cadence:
    """The cadence of one shard's series; slots are the shard's series numbers."""

    def __init__(self, *, gap_factor: float, forget_after_ms: int) -> None:
        self._factor = gap_factor
        self._forget_ms = forget_after_ms
        self._series = 0
        self._configured = np.empty(0)
        self._first = np.empty(0, np.int64)
        self._newest = np.empty(0, np.int64)
        self._ring = np.empty((0, RING))
        self._seen = np.empty(0, np.int64)
        self._learnt = np.empty(0)
        self._waiting: Flags = np.empty(0, np.bool_)

    def enrol(self, slots: Ints, interval_ms: Sequence[float]) -> None:
        """New series at these slots, which are fresh; NaN where no interval is configured."""
        self._series = max(self._series, int(slots.max(initial=-1)) + 1)
        self._configured = resized(self._configured, self._series, np.nan)
        self._configured[slots] = interval_ms
        self._first = resized(self._first, self._series, _NEVER)
        self._newest = resized(self._newest, self._series, _NEVER)
        self._ring = resized(self._ring, self._series, np.nan)
        self._seen = resized(self._seen, self._series, 0)
        self._learnt = resized(self._learnt, self._series, np.nan)
        self._waiting = resized(self._waiting, self._series, False)

    def forget(self, slots: Ints) -> None:
        """These series are gone; their slots are fresh."""
        self._configured[slots] = self._ring[slots] = self._learnt[slots] = np.nan
        self._first[slots] = self._newest[slots] = _NEVER
        self._seen[slots] = 0
        self._waiting[slots] = False

    def observe(self, slot: Ints, time_ms: Ints) -> Gaps:
        """Take in readings on time, in offset order; give out the gaps that end with them."""
        n = len(slot)
        out = [np.empty(n, np.int64) for _ in range(4)]
        state = (self._configured, self._first, self._newest, self._ring, self._seen, self._learnt, self._waiting)
        found = _observe(column(slot, np.int64), column(time_ms, np.int64), self._factor, *state, *out)
        return Gaps(*(one[:found] for one in out))

    def silent(self, watermark_ms: int) -> Gaps:
        """Series that have fallen silent by now and were not told before."""
        n = self._series
        overdue = watermark_ms - self._newest[:n] > self._factor * self._interval()  # false for NaN
        fresh = np.flatnonzero(overdue & ~self._waiting[:n] & (self._newest[:n] != _NEVER))
        self._waiting[fresh] = True
        zeros = np.zeros(len(fresh), np.int64)
        return Gaps(fresh, self._newest[fresh], zeros + NO_END, zeros)

    def newest_ms(self, slots: Ints) -> Ints:
        """The last reading of these series; far back for none."""
        return self._newest[slots]

    def overdue_ms(self, slots: Ints) -> Ints:
        """The first instant at which these series, whose intervals are known, are silent if they do not speak."""
        return self._newest[slots] + np.floor(self._factor * self._interval()[slots]).astype(np.int64) + 1

    def expected(self, pane_starts: Ints, pane_ms: int) -> tuple[Ints, Ints, Floats]:
        """Which series are expected in which panes: (pane start, slot, readings expected, NaN when unknown).

        A series is expected from its first reading on until it has been silent for forget_after.
        """
        n = self._series
        first, newest = self._first[:n], self._newest[:n]
        starts = pane_starts[:, None]
        known = (first < starts + pane_ms) & (first != _NEVER) & (starts < newest + self._forget_ms)
        pane, slot = np.nonzero(known)
        return pane_starts[pane], slot, pane_ms / self._interval()[slot]

    def horizon_ms(self) -> int:
        """From this time on nothing is expected any more, unless something is heard."""
        n = self._series
        return int(self._newest[:n].max()) + self._forget_ms if n else _NEVER

    def _interval(self) -> Floats:
        n = self._series
        return np.where(np.isnan(self._configured[:n]), self._learnt[:n], self._configured[:n])

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return sum(a.nbytes for a in (self._first, self._newest, self._ring, self._seen, self._learnt, self._waiting))

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays; configured intervals are not state."""
        arrays = (self._first, self._newest, self._ring, self._seen, self._learnt, self._waiting)
        return (STATE_VERSION, *(array[: self._series].copy() for array in arrays))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`, after `enrol` with the intervals configured now."""
        _, self._first, self._newest, self._ring, self._seen, self._learnt, self._waiting = state
        self._series = len(self._first)
        self._configured = resized(self._configured, self._series, np.nan)
