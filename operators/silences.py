"""Silence as a condition: from a sensor's last reading until its next, known when the watermark has passed a pane.

Whether and when a silence counts is a function of the last reading and the interval, not of when it was found out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.slots import resized
from operators.alert_rules import NEVER, AlertRule
from operators.batches import Ints

STATE_VERSION = 1


class Due(NamedTuple):
    """A silence that counts. rule: its place among those given. at_ms: since when it counts."""

    sensor: int
    rule: int
    start_ms: int
    at_ms: int


class Silences:
    """rules: those on silence. Sensors are the shard's sensor slots."""

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        self._rules = tuple(rules)
        self._start = np.empty(0, np.int64)
        self._silent = 0
        self._waiting: dict[tuple[int, int], int] = {}

    def grow(self, sensors: int) -> None:
        """There are now at least so many slots."""
        self._start = resized(self._start, sensors, NEVER)

    def begin(self, sensor: int, start_ms: int, overdue_ms: int, places: Sequence[int]) -> bool:
        """It has fallen silent; False when that is known.

        start_ms: its last reading; overdue_ms: when it was missed first; places: of the rules that are about it.
        """
        if self._start[sensor] != NEVER:
            return False
        self._silent += 1
        self._start[sensor] = start_ms
        for place in places:
            rule = self._rules[place]
            # Of a group's rule `for` is the group's.
            hold_ms = 0 if rule.grouped else rule.for_ms
            self._waiting[sensor, place] = max(start_ms + hold_ms, overdue_ms)
        return True

    def due(self, watermark_ms: int) -> list[Due]:
        """Those that count by now and did not before."""
        if not self._waiting:
            return []
        keys = sorted(key for key, at_ms in self._waiting.items() if at_ms <= watermark_ms)
        return [Due(*key, int(self._start[key[0]]), self._waiting.pop(key)) for key in keys]

    def heard(self, sensor: Ints, time_ms: Ints) -> list[tuple[int, int]]:
        """Readings on time: which silent sensors are heard again, and when."""
        if not self._silent:
            return []
        start = self._start[sensor]
        rows = np.flatnonzero((start != NEVER) & (time_ms > start))
        ended: dict[int, int] = {}
        for one, at_ms in zip(sensor[rows].tolist(), time_ms[rows].tolist(), strict=True):
            ended.setdefault(one, at_ms)
        self.forget(np.array(list(ended), np.int64))
        return list(ended.items())

    def forget(self, sensors: Ints) -> None:
        """Nothing is known of these any more."""
        silent = sensors[self._start[sensors] != NEVER]
        self._silent -= len(silent)
        self._start[silent] = NEVER
        for one in silent.tolist():
            for place in range(len(self._rules)):
                self._waiting.pop((one, place), None)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        silent = np.flatnonzero(self._start != NEVER)
        keys = tuple(rule.key for rule in self._rules)
        starts = tuple(zip(silent.tolist(), self._start[silent].tolist(), strict=True))
        waiting = tuple((sensor, keys[place], at_ms) for (sensor, place), at_ms in self._waiting.items())
        return (STATE_VERSION, starts, waiting)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`, after `grow`; what waited for a rule that is gone is dropped."""
        _, starts, waiting = state
        for sensor, start_ms in starts:
            self._start[sensor] = start_ms
        self._silent = len(starts)
        places = {rule.key: place for place, rule in enumerate(self._rules)}
        self._waiting = {(sensor, places[key]): at_ms for sensor, key, at_ms in waiting if key in places}
