"""Checks of each reading against its own sensor's past: repeated, contradicted, out of order, out of range, stuck.

One compiled pass over a shard's rows in offset order; the state is arrays over the shard's sensors and one log of the
readings that can still be repeated.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.slots import column, resized
from operators.batches import LATE, Flags, Floats, Ints

Statuses = npt.NDArray[np.uint8]
Slots = npt.NDArray[np.int32]

OK, OUT_OF_ORDER, CONFLICT, LATE_READING, AFTER_IDLE_READING, DUPLICATE = range(6)
"""Values of `Checked.status`; the first three are on time."""

QUALITY_NAMES = ("ok", "out_of_order", "conflict", "late", "after_idle")
"""The column `quality` by status; duplicates are not stored."""

STUCK_READINGS = 5
"""A sensor is stuck only after at least this many equal readings, however slow it is."""

STUCK, RANGE, CONFLICTING = range(3)
EPISODE_NAMES = ("stuck", "out_of_range", "conflict")

STATE_VERSION = 1
_OPEN = int(np.iinfo(np.int64).min)


class Episodes(NamedTuple):
    """Rows for data_quality, columns of one length: end_ms is NO_END while the episode lasts.

    row: the row by which it was told.
    value: the value stuck, in conflict or first out of range.
    """

    kind: Statuses
    row: Ints
    start_ms: Ints
    end_ms: Ints
    readings: Ints
    value: Floats


NO_END = _OPEN


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found, one entry per row; `episodes` opened, closed or grown by these rows."""

    status: Statuses
    out_of_range: Flags
    stuck: Flags
    episodes: Episodes


class _Rows(NamedTuple):
    """The rows to check, in offset order."""

    slot: Ints
    time_ms: Ints
    value: Floats
    watermark_ms: Ints
    lateness: Statuses
    low: Floats
    high: Floats


class _Past(NamedTuple):
    """What is known of each sensor.

    newest, last: time and value of its newest reading on time.
    latest, last_entry: largest time in the log, and its last entry there.
    same: (sensors, 3) since when, how often the last value was repeated, whether that was told.
    off, off_value: (sensors, 2) since when, how often it has been out of range; the first such value.
    """

    newest: Ints
    last: Floats
    latest: Ints
    last_entry: Ints
    same: Ints
    off: Ints
    off_value: Floats


class _Log(NamedTuple):
    """A ring of the readings that can still be repeated, in order of arrival, each chained to its sensor's one before.

    Sequential writes and a chain that is walked only for readings not newer than their sensor's newest: far fewer
    cache misses than a hash table. Entry number e is at e & (capacity - 1); numbers below the tail are gone.
    """

    slot: Slots
    time_ms: Ints
    value: Floats
    before: Ints


@compiled
def _search(
    times: Ints, values: Floats, before: Ints, tail: int, entry: int, time: int, value: float
) -> tuple[bool, bool]:
    """Along a sensor's chain from its last entry: (same time and value found, same time found)."""
    mask = len(times) - 1
    same_time = False
    while entry >= tail:
        at = entry & mask
        if times[at] == time:
            if values[at] == value:
                return True, True
            same_time = True
        entry = before[at]
    return False, same_time


@compiled
def _oldest_kept(log: _Log, tail: int, head: int, oldest_ms: int) -> int:
    """The tail after dropping what is older than `oldest_ms`, as far as nothing newer is in the way."""
    mask = len(log.slot) - 1
    while tail < head and log.time_ms[tail & mask] < oldest_ms:
        tail += 1
    return tail


@compiled
def _append_all(log: _Log, last_entry: Ints, entries: _Log) -> None:
    """Fill an empty log."""
    for i in range(len(entries.slot)):
        slot = entries.slot[i]
        log.slot[i], log.time_ms[i], log.value[i] = slot, entries.time_ms[i], entries.value[i]
        log.before[i], last_entry[slot] = last_entry[slot], i


@compiled
def _repeats(
    rows: _Rows, past: _Past, log: _Log, tail: int, head: int, horizon_ms: int, repeated: Flags, contradicts: Flags
) -> int:
    """Mark rows whose time was seen before, with the same value or another; log the others. Returns the new head."""
    slot, time_ms, value, watermark_ms = rows.slot, rows.time_ms, rows.value, rows.watermark_ms
    latest, last_entry = past.latest, past.last_entry
    slots, times, values, before = log.slot, log.time_ms, log.value, log.before
    mask = len(slots) - 1
    for i in range(len(slot)):
        s, t, v = slot[i], time_ms[i], value[i]
        if t < watermark_ms[i] - horizon_ms:
            continue
        if t <= latest[s]:
            repeated[i], contradicts[i] = _search(times, values, before, tail, last_entry[s], t, v)
            if repeated[i]:
                continue
        else:
            latest[s] = t
        at = head & mask
        slots[at], times[at], values[at], before[at] = s, t, v, last_entry[s]
        last_entry[s] = head
        head += 1
    return head


@compiled
def _tell(told: Episodes, place: int, kind: int, row: int, start: int, end: int, readings: int, value: float) -> int:
    told.kind[place], told.row[place], told.value[place] = kind, row, value
    told.start_ms[place], told.end_ms[place], told.readings[place] = start, end, readings
    return place + 1


@compiled
def _judge(
    rows: _Rows,
    past: _Past,
    stuck_ms: int,
    repeated: Flags,
    contradicts: Flags,
    status: Statuses,
    told: Episodes,
    bad: Flags,
    stuck: Flags,
) -> int:
    """Fill status, bad (out of range), stuck and told; returns how many episodes were told."""
    slot, time_ms, value, lateness, low, high = rows.slot, rows.time_ms, rows.value, rows.lateness, rows.low, rows.high
    newest, last, same, off, off_value = past.newest, past.last, past.same, past.off, past.off_value
    k = 0
    for i in range(len(slot)):
        s, t, v = slot[i], time_ms[i], value[i]
        bad[i] = v < low[i] or v > high[i]
        if repeated[i]:
            status[i] = DUPLICATE
        elif lateness[i] != 0:
            status[i] = LATE_READING if lateness[i] == LATE else AFTER_IDLE_READING
        elif contradicts[i]:
            status[i] = CONFLICT
            k = _tell(told, k, CONFLICTING, i, t, t, 1, v)
        elif t < newest[s]:
            status[i] = OUT_OF_ORDER
        else:
            if v == last[s]:
                same[s, 1] += 1
                if t - same[s, 0] >= stuck_ms and same[s, 1] >= STUCK_READINGS:
                    stuck[i] = True
                    if same[s, 2] == 0:
                        same[s, 2] = 1
                        k = _tell(told, k, STUCK, i, same[s, 0], _OPEN, same[s, 1], v)
            else:
                if same[s, 2] == 1:
                    k = _tell(told, k, STUCK, i, same[s, 0], newest[s], same[s, 1], last[s])
                same[s, 0], same[s, 1], same[s, 2] = t, 1, 0
                last[s] = v
            if bad[i]:
                off[s, 1] += 1
                if off[s, 1] == 1:
                    off[s, 0], off_value[s] = t, v
                    k = _tell(told, k, RANGE, i, t, _OPEN, 1, v)
            elif off[s, 1] > 0:
                k = _tell(told, k, RANGE, i, off[s, 0], newest[s], off[s, 1], off_value[s])
                off[s, 1] = 0
            newest[s] = t
    return k


def _new_log(capacity: int) -> _Log:
    return _Log(
        np.empty(capacity, np.int32), np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity, np.int64)
    )


def _new_episodes(most: int) -> Episodes:
    row, start, end, readings = (np.empty(most, np.int64) for _ in range(4))
    return Episodes(np.empty(most, np.uint8), row, start, end, readings, np.empty(most))


class QualityChecks:
    """The checks of one shard; slots are the shard's sensor numbers."""

    def __init__(self, *, dedup_horizon_ms: int, stuck_after_ms: int) -> None:
        self._horizon_ms = dedup_horizon_ms
        self._stuck_ms = stuck_after_ms
        self._sensors = 0
        none = np.empty(0, np.int64)
        same, off = np.empty((0, 3), np.int64), np.empty((0, 2), np.int64)
        self._past = _Past(none, np.empty(0), none, none, same, off, np.empty(0))
        self._log = _new_log(1024)
        self._tail = self._head = 0

    def grow(self, sensors: int) -> None:
        """There are now at least so many slots."""
        sensors = self._sensors = max(self._sensors, sensors)
        past = self._past
        self._past = _Past(
            resized(past.newest, sensors, _OPEN),
            resized(past.last, sensors, np.nan),
            resized(past.latest, sensors, _OPEN),
            resized(past.last_entry, sensors, -1),
            resized(past.same, sensors, 0),
            resized(past.off, sensors, 0),
            resized(past.off_value, sensors, np.nan),
        )

    def forget(self, sensors: Ints) -> None:
        """These sensors are gone; their slots are fresh. Their readings can no longer be repeated."""
        past = self._past
        past.newest[sensors] = past.latest[sensors] = _OPEN
        past.last[sensors] = past.off_value[sensors] = np.nan
        past.last_entry[sensors] = -1
        past.same[sensors] = 0
        past.off[sensors] = 0

    def heard_ms(self) -> Ints:
        """By sensor slot: the largest event time of its readings that counts for anything; far back for none."""
        return np.maximum(self._past.newest, self._past.latest)[: self._sensors]

    def check(
        self,
        *,
        slot: Ints,
        time_ms: Ints,
        value: Floats,
        watermark_ms: Ints,
        lateness: Statuses,
        low: Floats,
        high: Floats,
    ) -> Checked:
        """Judge rows in offset order; low and high are each row's limits, NaN for none."""
        n = len(slot)
        if n:
            self._make_room(n, int(watermark_ms[0]))
        status, bad, stuck = np.zeros(n, np.uint8), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        told = _new_episodes(2 * n)
        ints = (column(slot, np.int64), column(time_ms, np.int64), column(value, np.float64))
        rows = _Rows(*ints, column(watermark_ms, np.int64), column(lateness, np.uint8), low, high)
        repeated, contradicts = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        log = (self._log, self._tail, self._head)
        self._head = _repeats(rows, self._past, *log, self._horizon_ms, repeated, contradicts)
        k = _judge(rows, self._past, self._stuck_ms, repeated, contradicts, status, told, bad, stuck)
        return Checked(status, bad, stuck, Episodes._make(one[:k] for one in told))

    def _make_room(self, rows: int, watermark_ms: int) -> None:
        """Drop what can no longer be repeated, then double the log until `rows` more fit."""
        self._tail = _oldest_kept(self._log, self._tail, self._head, watermark_ms - self._horizon_ms)
        capacity = len(self._log.slot)
        while self._head - self._tail + rows > capacity:
            capacity *= 2
        if capacity > len(self._log.slot):
            self._refill(self._entries(), capacity)

    def _entries(self) -> _Log:
        """The entries in order; their chains are left out."""
        at = np.arange(self._tail, self._head) & (len(self._log.slot) - 1)
        return _Log(self._log.slot[at], self._log.time_ms[at], self._log.value[at], np.empty(0, np.int64))

    def _refill(self, entries: _Log, capacity: int) -> None:
        self._log = _new_log(capacity)
        self._past.last_entry[:] = -1
        self._tail, self._head = 0, len(entries.slot)
        _append_all(self._log, self._past.last_entry, entries)

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return sum(array.nbytes for array in (*self._past, *self._log))

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays; of the log only its entries."""
        past = tuple(array[: self._sensors].copy() for array in self._past)
        return (STATE_VERSION, past, tuple(self._entries())[:3])

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`."""
        _, past, entries = state
        self._past = _Past(*past)
        self._sensors = len(self._past.newest)
        capacity = 1024
        while capacity < len(entries[0]):
            capacity *= 2
        self._refill(_Log._make((*entries, np.empty(0, np.int64))), capacity)
