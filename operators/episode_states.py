"""The phases of all conditions of a shard's sensors: one compiled pass over readings in offset order.

What is to be told of, few rows of many, comes out as events; only those cost Python anything.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.slots import column, resized
from operators.alert_rules import FIRING, NEVER, OFF, PENDING, AlertRule
from operators.batches import Flags, Floats, Ints

STATE_VERSION = 1

START, PEAK, FIRE, END, DROP = range(5)
"""A condition begins to hold; its strongest reading so far; it has held for long enough; over; over before that."""


class _States(NamedTuple):
    """(sensors, rules) each. phase; when the condition began; since when it has not held; end of the cool-down; the
    largest rank."""

    phase: npt.NDArray[np.uint8]
    start: Ints
    calm: Ints
    cool: Ints
    peak: Floats


_FRESH: tuple[float, ...] = (OFF, NEVER, NEVER, NEVER, 0.0)


class _Rules(NamedTuple):
    """Rows of the measures that a rule compares and ranks by; sign and levels, see AlertRule; times in ms."""

    measure: Ints
    rank: Ints
    sign: Floats
    fire: Floats
    stay: Floats
    hold: Ints
    keep: Ints
    cool: Ints


class Events(NamedTuple):
    """In order of rows: row, rule, what. at_ms: when the condition began, of END when it ceased."""

    row: npt.NDArray[np.int32]
    rule: npt.NDArray[np.uint8]
    what: npt.NDArray[np.uint8]
    at_ms: Ints


@compiled
def _pass(
    sensor: Ints,
    slot: Ints,
    time_ms: Ints,
    in_order: Flags,
    applies: Flags,
    measures: Floats,
    rules: _Rules,
    states: _States,
    told: Events,
) -> int:
    """Move on by these readings and fill `told`; returns how many there are."""
    phase, start, calm, cool, peak = states.phase, states.start, states.calm, states.cool, states.peak
    found = 0
    for i in range(len(sensor)):
        if not in_order[i]:
            continue
        s, t = sensor[i], time_ms[i]
        for k in range(len(rules.sign)):
            state = phase[s, k]
            level = rules.fire[k] if state == OFF else rules.stay[k]
            # False for NaN: what is unknown is calm.
            hot = measures[rules.measure[k], i] * rules.sign[k] >= level and applies[slot[i], k]
            if state == OFF:
                if not hot or t < cool[s, k]:
                    continue
                state, start[s, k], calm[s, k], peak[s, k] = PENDING, t, NEVER, -np.inf
                found = _tell(told, found, i, k, START, t)
            elif not hot:
                if state == PENDING:
                    phase[s, k] = OFF
                    found = _tell(told, found, i, k, DROP, start[s, k])
                    continue
                if calm[s, k] == NEVER:
                    calm[s, k] = t
                if t - calm[s, k] >= rules.keep[k]:
                    phase[s, k], cool[s, k] = OFF, calm[s, k] + rules.cool[k]
                    found = _tell(told, found, i, k, END, calm[s, k])
                continue
            calm[s, k] = NEVER
            rank = measures[rules.rank[k], i] * rules.sign[k]
            if rank > peak[s, k]:
                peak[s, k] = rank
                if t > start[s, k]:
                    found = _tell(told, found, i, k, PEAK, start[s, k])
            if state == PENDING and t - start[s, k] >= rules.hold[k]:
                state = FIRING
                found = _tell(told, found, i, k, FIRE, start[s, k])
            phase[s, k] = state
    return found


@compiled
def _tell(told: Events, place: int, row: int, rule: int, what: int, at_ms: int) -> int:
    told.row[place], told.rule[place], told.what[place], told.at_ms[place] = row, rule, what, at_ms
    return place + 1


class EpisodeStates:
    """rules: at most 255. measure, rank: which rows of the measures each compares, and ranks readings by."""

    def __init__(self, rules: Sequence[AlertRule], *, measure: Sequence[int], rank: Sequence[int]) -> None:
        # What is grouped is judged once more, by group: for, keep-firing and cool-down of that belong there.
        alone = [not one.grouped for one in rules]
        self._keys = tuple(one.key for one in rules)
        self._rules = _Rules(
            np.array(measure, np.int64),
            np.array(rank, np.int64),
            np.array([one.sign for one in rules], np.float64),
            np.array([one.levels[0] for one in rules], np.float64),
            np.array([one.levels[1] for one in rules], np.float64),
            np.array([one.for_ms * by_itself for one, by_itself in zip(rules, alone, strict=True)], np.int64),
            np.array([one.keep_ms for one in rules], np.int64),
            np.array([one.cool_down_ms * by_itself for one, by_itself in zip(rules, alone, strict=True)], np.int64),
        )
        self._sensors = 0
        shape = (0, len(rules))
        none = np.empty(shape, np.int64)
        self._states = _States(np.empty(shape, np.uint8), none, none, none, np.empty(shape))

    @property
    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return tuple(self._states)

    def grow(self, sensors: int) -> None:
        """There are now at least so many slots."""
        self._sensors = max(self._sensors, sensors)
        self._states = _States._make(
            resized(one, self._sensors, fresh) for one, fresh in zip(self._arrays, _FRESH, strict=True)
        )

    def forget(self, sensors: Ints) -> None:
        """These sensors are gone; their slots are fresh."""
        for one, fresh in zip(self._arrays, _FRESH, strict=True):
            one[sensors] = fresh

    def step(
        self, sensor: Ints, slot: Ints, time_ms: Ints, in_order: Flags, applies: Flags, measures: Floats
    ) -> Events:
        """Readings in offset order; of those in order, whatever is to be told.

        slot: of their series; applies: (series, rules). measures: (measures, n).
        """
        most = len(sensor) * len(self._keys) * 2
        told = Events(
            np.empty(most, np.int32), np.empty(most, np.uint8), np.empty(most, np.uint8), np.empty(most, np.int64)
        )
        found = _pass(
            column(sensor, np.int64),
            column(slot, np.int64),
            column(time_ms, np.int64),
            column(in_order, np.bool_),
            applies,
            measures,
            self._rules,
            self._states,
            told,
        )
        return Events._make(one[:found] for one in told)

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return sum(one.nbytes for one in self._states)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays, with the keys of their columns."""
        return (STATE_VERSION, self._keys, tuple(one[: self._sensors].copy() for one in self._states))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`, by rules' keys; those that were not there then begin afresh."""
        _, keys, arrays = state
        self._sensors = 0
        self._states = _States._make(one[:0] for one in self._states)
        self.grow(len(arrays[0]))
        kept = [(place, keys.index(key)) for place, key in enumerate(self._keys) if key in keys]
        for mine, theirs in zip(self._arrays, arrays, strict=True):
            for place, was in kept:
                mine[: len(theirs), place] = theirs[:, was]
