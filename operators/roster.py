"""Who is there: the sensors and series of one shard by number, and the numbers of those that are gone given out anew.

A sensor with other labels than before is another series of the same sensor. State of detectors and checks is by sensor
slot, that of panes and intervals by series slot.
"""

from collections.abc import Sequence
from heapq import heapify, heappop
from typing import Any, NamedTuple

import numpy as np

from models.slots import resized
from operators.batches import ColumnData, Flags, Ints, Labels, Series

NOBODY = -1
"""The sensor of a series slot that is free."""


class Newcomers(NamedTuple):
    """Series slots and the series there; sensor slots, and the first series of each of these sensors."""

    slots: Ints
    series: list[Series]
    sensor_slots: Ints
    sensors: list[Series]


class _LabelColumn:
    """One label of the shard's series, dictionary-encoded once instead of for every batch."""

    def __init__(self) -> None:
        self._values: list[str] = []
        self._code_of: dict[str, int] = {}
        self._codes = np.empty(0, np.int32)

    def enrol(self, slots: Ints, labels: Sequence[str]) -> None:
        """The labels of series that are new at these slots."""
        fresh = [self._code_of.setdefault(label, len(self._code_of)) for label in labels]
        self._values = list(self._code_of)  # a new list: rows that were given out keep theirs
        self._codes = resized(self._codes, int(slots.max(initial=-1)) + 1, 0)
        self._codes[slots] = fresh

    def of(self, slot: Ints) -> Labels:
        """(n,) series slots -> (n,) labels."""
        return Labels(self._codes[slot], self._values)


class Roster:
    """The lowest free slot is given out first, so that slots are a function of the readings alone.

    sensor_of: sensor slot by series slot, NOBODY where it is free.
    """

    def __init__(self) -> None:
        self.sensor_of = np.empty(0, np.int64)
        self._series: list[Series | None] = []
        self._sensors: list[str | None] = []
        self._slot_of: dict[Series, int] = {}
        self._sensor_slot_of: dict[str, int] = {}
        self._free: list[int] = []
        self._free_sensors: list[int] = []
        self._new: list[int] = []
        self._new_sensors: dict[int, Series] = {}
        self._columns = {name: _LabelColumn() for name in Series._fields}

    def slot(self, series: Series) -> int:
        """The number of a series, given out on first sight; see `newcomers`."""
        known = self._slot_of.get(series)
        if known is not None:
            return known
        slot = self._slot_of[series] = heappop(self._free) if self._free else len(self._series)
        if slot == len(self._series):
            self._series.append(series)
        self._series[slot] = series
        self._new.append(slot)
        if series.sensor_id not in self._sensor_slot_of:
            sensor = heappop(self._free_sensors) if self._free_sensors else len(self._sensors)
            if sensor == len(self._sensors):
                self._sensors.append(series.sensor_id)
            self._sensors[sensor] = series.sensor_id
            self._sensor_slot_of[series.sensor_id] = sensor
            self._new_sensors[sensor] = series
        return slot

    def newcomers(self) -> Newcomers | None:
        """Who has come since the last call; None for nobody. Their slots are fresh."""
        if not self._new:
            return None
        slots, self._new = np.array(self._new, np.int64), []
        sensors, self._new_sensors = self._new_sensors, {}
        series = [one for slot in slots.tolist() if (one := self._series[slot]) is not None]
        self.sensor_of = np.concatenate(
            [self.sensor_of, np.full(len(self._series) - len(self.sensor_of), NOBODY, np.int64)]
        )
        self.sensor_of[slots] = [self._sensor_slot_of[one.sensor_id] for one in series]
        for place, column in enumerate(self._columns.values()):
            column.enrol(slots, [one[place] for one in series])
        return Newcomers(slots, series, np.fromiter(sensors, np.int64, len(sensors)), list(sensors.values()))

    def dismiss(self, sensors: Ints) -> Ints:
        """These sensor slots, and those of their series, which are returned, are free from now on."""
        gone = np.flatnonzero(np.isin(self.sensor_of, sensors))
        for slot in gone.tolist():
            series, self._series[slot] = self._series[slot], None
            if series is not None:
                del self._slot_of[series]
        for sensor in sensors.tolist():
            name, self._sensors[sensor] = self._sensors[sensor], None
            if name is not None:
                del self._sensor_slot_of[name]
        self.sensor_of[gone] = NOBODY
        self._free += gone.tolist()
        self._free_sensors += sensors.tolist()
        heapify(self._free)
        heapify(self._free_sensors)
        self._encode()
        return gone

    def _encode(self) -> None:
        """The labels anew, without those that nobody has any more."""
        there = self.series_slots()
        series = [one for one in self._series if one is not None]
        self._columns = {name: _LabelColumn() for name in Series._fields}
        for place, column in enumerate(self._columns.values()):
            column.enrol(there, [one[place] for one in series])

    def present(self) -> Flags:
        """Whether there is a sensor, by sensor slot."""
        return np.array([one is not None for one in self._sensors], np.bool_)

    def series_slots(self) -> Ints:
        """The slots where there is a series."""
        return np.flatnonzero(self.sensor_of != NOBODY)

    def sensor_id(self, sensor: int) -> str:
        """Who is at a sensor slot; "" for nobody."""
        return self._sensors[sensor] or ""

    def labels(self, slot: Ints, names: Sequence[str] = Series._fields) -> dict[str, ColumnData]:
        """(n,) series slots -> the columns of these names."""
        return {name: self._columns[name].of(slot) for name in names}

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values. `newcomers` has been called before."""
        series = tuple(None if one is None else tuple(one) for one in self._series)
        return (series, self.sensor_of.tolist(), len(self._sensors))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`; all that are there are newcomers."""
        series, sensor_of, sensors = state
        self._series = [None if one is None else Series(*one) for one in series]
        self._sensors = [None] * sensors
        for slot, (one, sensor) in enumerate(zip(self._series, sensor_of, strict=True)):
            if one is None:
                self._free.append(slot)
                continue
            self._slot_of[one] = slot
            self._new.append(slot)
            if self._sensors[sensor] is None:
                self._sensors[sensor], self._sensor_slot_of[one.sensor_id] = one.sensor_id, sensor
                self._new_sensors[sensor] = one
        self._free_sensors = [sensor for sensor, name in enumerate(self._sensors) if name is None]
