"""Wall-clock time where a sensor stands, from event time and its time zone: no clock is read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from models.slots import resized
from operators.batches import Ints

_QUARTER_MS = 900_000
"""Offsets change on quarters of an hour only, in every zone since 1972."""


@lru_cache(maxsize=100_000)
def _offset_ms(zone: str, quarter: int) -> int:
    moment = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, UTC)
    try:
        offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
    except OverflowError:  # the first or last day that datetime knows
        return 0
    return 0 if offset is None else round(offset.total_seconds() * 1000)


class LocalTime:
    """The time zones of a shard's sensors."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._zone = np.empty(0, np.int64)

    def enrol(self, slots: Ints, zones: Sequence[str]) -> None:
        """The time zones of new sensors at these slots: IANA names, "" for UTC."""
        fresh = [self._names.setdefault(zone or "UTC", len(self._names)) for zone in zones]
        self._zone = resized(self._zone, int(slots.max(initial=-1)) + 1, 0)
        self._zone[slots] = fresh

    def of(self, slot: Ints, time_ms: Ints) -> Ints:
        """(n,) event times -> (n,) the same as milliseconds of local time since 1970-01-01 there."""
        names = list(self._names)
        if names == ["UTC"]:
            return time_ms
        zone = self._zone[slot]
        quarters, place = np.unique(np.stack([zone, time_ms // _QUARTER_MS]), axis=1, return_inverse=True)
        offsets = [_offset_ms(names[one], quarter) for one, quarter in quarters.T.tolist()]
        return time_ms + np.array(offsets, np.int64)[place.reshape(-1)]
