"""SeasonalForecast: what a sensor usually shows at this hour of the day, plus how far off that it has lately been."""

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, Times, check_state
from models.deviation import LARGEST
from models.hours import (
    HOURS,
    KINDS_OF_HOURS,
    Places,
    Profile,
    When,
    circle_places,
    hour_of,
    hours_passed,
    neighbours,
    rate_of,
)
from models.slots import column, resized, slot_column

FURTHEST = 1e30
"""Distances from the first value are cut to this: the profile is kept in single precision."""

MIN_SAMPLES = 10
WIDTH = 3.0 * 1.2533
"""Half the expected interval in mean absolute residuals: 3 standard deviations, if residuals are normal."""

VERSION = 1


class _Past(NamedTuple):
    """Per slot. profile: [0] mean value per hour, less the anchor, and [1] hours of readings it is made of.

    recent: see ANCHOR .. LEARNT. newest: time of the last reading, epoch milliseconds.
    """

    profile: Profile
    recent: Floats
    newest: Times


ANCHOR, USUAL, LEVEL, SPREAD, LEARNT = range(5)
"""First value; what the profile said last; mean of the last residuals from the profile, and of the sizes of those from
the forecast; readings learnt."""


class SeasonalForecast:
    """Score: |value - expected|, in the sensor's unit. Expected is profile(hour) + level.

    The profile is the mean value per hour of weekdays and of weekends, drawn through as a line between the middles of
    hours; a kind of day without a profile yet borrows the other's. Each reading weighs as the time since the one
    before, so sensors of any interval learn alike. The level is the recent mean of value - profile.

    level: readings over which the level fades.
    days: over which the profile fades.

    The time of day and week is local when `feature_names` has hour_sin, hour_cos, day_sin and day_cos (unscaled), else
    UTC. Memory: 432 bytes a sensor.
    """

    def __init__(self, feature_names: tuple[str, ...], *, level: int = 200, days: int = 14) -> None:
        if level < 1 or days < 1:
            raise ValueError(f"level = {level} readings, days = {days}: must be at least 1")
        self._places = circle_places(feature_names)
        self._rates = float(level), float(days)
        self._sensors = 0
        self._past = _Past(np.zeros((0, 2, KINDS_OF_HOURS), np.float32), np.zeros((0, 5)), np.zeros(0, np.int64))

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._past = _Past._make(resized(one, sensors, 0) for one in self._past)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots, values = slot_column(batch.slots, self._sensors), column(batch.values, np.float64)
        profile, recent, _ = self._past
        return _score(profile, recent, slots, *self._when(batch), values)

    def expected(self, batch: Batch) -> tuple[Floats, Floats, Floats]:
        """See Forecasting. The interval holds about 99.7 % of normal residuals."""
        slots, (profile, recent, _) = slot_column(batch.slots, self._sensors), self._past
        return _expected(profile, recent, slots, *self._when(batch))

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots, values = slot_column(batch.slots, self._sensors), column(batch.values, np.float64)
        _learn(*self._past, slots, *self._when(batch), values, *self._rates)

    def _when(self, batch: Batch) -> When:
        return When(column(batch.time_ms, np.int64), column(batch.features, np.float64), self._places)

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        slots = slot_column(slots, self._sensors)
        for one in self._past:
            one[slots] = 0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return sum(one.nbytes for one in self._past)

    def state(self) -> dict[str, object]:
        """See Detector."""
        past = tuple(one[: self._sensors].copy() for one in self._past)
        return {"version": VERSION, "rates": self._rates, "past": past}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION, rates=self._rates)
        profile, recent, newest = cast(tuple[npt.ArrayLike, ...], state["past"])
        self._past = _Past(np.array(profile, np.float32), np.array(recent, np.float64), np.array(newest, np.int64))
        self._sensors = len(self._past.newest)


@compiled
def _of_profile(profile: Profile, hour: float, otherwise: float) -> float:
    """The profile at an hour; `otherwise` where nothing is known of it."""
    first, second, weight = neighbours(hour)
    total, weights = 0.0, 0.0
    for place, part in ((first, 1.0 - weight), (second, weight)):
        known = place if profile[1, place] > 0.0 else (place + HOURS) % KINDS_OF_HOURS
        if profile[1, known] > 0.0:
            total += part * profile[0, known]
            weights += part
    return total / weights if weights > 0.0 else otherwise


@compiled
def _expects(profile: Profile, recent: Floats, hour: float) -> float:
    """What is expected of one sensor."""
    return float(recent[ANCHOR] + _of_profile(profile, hour, recent[USUAL]) + recent[LEVEL])


# Kernels are called with arrays, not with tuples of them, which would take twice as long for a lone reading.
@compiled
def _score(
    profile: Profile, recent: Floats, slots: Slots, time_ms: Times, features: Floats, places: Places, values: Floats
) -> Floats:
    when = When(time_ms, features, places)
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        slot = slots[row]
        if recent[slot, LEARNT] >= MIN_SAMPLES:
            expected = _expects(profile[slot], recent[slot], hour_of(when, row))
            scores[row] = abs(min(max(values[row], -LARGEST), LARGEST) - expected)
    return scores


@compiled
def _expected(
    profile: Profile, recent: Floats, slots: Slots, time_ms: Times, features: Floats, places: Places
) -> tuple[Floats, Floats, Floats]:
    when = When(time_ms, features, places)
    middle, low, high = np.full(len(slots), np.nan), np.full(len(slots), np.nan), np.full(len(slots), np.nan)
    for row in range(len(slots)):
        slot = slots[row]
        if recent[slot, LEARNT] >= MIN_SAMPLES:
            half = WIDTH * recent[slot, SPREAD]
            middle[row] = _expects(profile[slot], recent[slot], hour_of(when, row))
            low[row], high[row] = middle[row] - half, middle[row] + half
    return middle, low, high


@compiled
def _learn(
    profiles: Profile,
    recents: Floats,
    newest: Times,
    slots: Slots,
    time_ms: Times,
    features: Floats,
    places: Places,
    values: Floats,
    level: float,
    days: float,
) -> None:
    when = When(time_ms, features, places)
    for row in range(len(slots)):
        slot = slots[row]
        recent, profile, now_ms = recents[slot], profiles[slot], time_ms[row]
        if recent[LEARNT] == 0.0:
            recent[ANCHOR] = min(max(values[row], -LARGEST), LARGEST)
            newest[slot] = now_ms
        value = min(max(values[row] - recent[ANCHOR], -FURTHEST), FURTHEST)
        hour = hour_of(when, row)
        recent[USUAL] = _of_profile(profile, hour, recent[USUAL])
        residual = value - recent[USUAL] - recent[LEVEL]
        recent[LEARNT] += 1.0
        recent[LEVEL] += residual / min(recent[LEARNT], level)
        recent[SPREAD] += (abs(residual) - recent[SPREAD]) / min(recent[LEARNT], level)
        passed = hours_passed(newest, slot, now_ms)
        first, second, weight = neighbours(hour)
        for place, part in ((first, 1.0 - weight), (second, weight)):
            if part > 0.0:
                rate = rate_of(profile, place, part * passed, days)
                profile[0, place] += np.float32(rate * (value - profile[0, place]))
