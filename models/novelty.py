"""Novelty: how strange a reading is beside everything its sensor has shown before, seen in four ways."""

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration
from models.compiled import compiled
from models.detector import Batch, Floats, Slots, Times, check_state
from models.deviation import LARGEST
from models.forecast import FURTHEST
from models.hours import KINDS_OF_HOURS, Places, When, circle_places, hour_of, hours_passed, neighbours, rate_of
from models.slots import column, resized, slot_column

LEVEL_READINGS = 500.0
"""Readings over which the level fades; NAB, given part, within 2 points from 100 to 500."""
SHORT_READINGS = 16.0
"""Readings of the short mean, whose distance from the level is a shift."""
PROFILE_HOURS = 14.0
"""Hours of readings after which an hour of the profile fades: two to three weeks."""
MIN_SAMPLES = 20

CENTRE_READINGS = 60
"""Readings whose mean and mean deviation become the centre and the unit of the histogram of values."""
KNOWN_VALUES = 40
"""Further readings before the rarity of a value is known."""
BINS, PER_UNIT = 65, 4.0
"""Bins are asinh((value - centre) / unit) / PER_UNIT apart: even near the centre, logarithmic far out."""
HORIZON = 50_000.0
"""Readings after which the histogram of values is halved."""

POWER = 3
"""Of the mean over the four: between their average (1) and their largest (infinity)."""

RESIDUALS = 3
COLUMNS = 2 * RESIDUALS + 1
"""Per residual its size above and below what is expected, then the rarity: each is calibrated by itself."""

VERSION = 1

Numbers = npt.NDArray[np.float32]


class _Past(NamedTuple):
    """Per slot. profile: per hour [0] the mean value less the anchor, [1] hours of readings it is made of, [2] the
    mean size of residuals. recent: see ANCHOR .. COUNTED. values: histogram. newest: epoch milliseconds.
    """

    profile: Numbers
    recent: Floats
    values: Numbers
    newest: Times


ANCHOR, USUAL, LEVEL, SIZE, LONG, SHORT, LEARNT, CENTRE, UNIT, COUNTED = range(10)
"""First value; what the profile said last; mean of the last residuals from it; mean size of residuals; long and short
mean less the anchor; readings learnt; centre (less the anchor) and unit of the histogram; sum of its counts."""


class Novelty:
    """Score: -log10 of the chance of so strange a reading, by the sensor's own past: not to be calibrated again.

    It is the power mean of what these say, each calibrated apart above and below what is expected:

    residual: value - profile(hour) - level, where the level is the recent mean of value - profile.
    scaled residual: the same by its mean size at that hour of the day: sensors differ in noise over the day.
    shift: short mean - long mean.
    rarity: -log10 of the share of past values near this one, be they within the range or not.

    Meant for `score`, not for alarms: one fault makes the next one expected. Local time as for SeasonalForecast.
    Memory: 2.2 KB a sensor.
    """

    def __init__(self, feature_names: tuple[str, ...]) -> None:
        self._places = circle_places(feature_names)
        self._sensors = 0
        self._calibration = Calibration(["novelty"] * COLUMNS)
        profile, values = np.zeros((0, 3, KINDS_OF_HOURS), np.float32), np.zeros((0, BINS), np.float32)
        self._past = _Past(profile, np.zeros((0, COUNTED + 1)), values, np.zeros(0, np.int64))

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._past = _Past._make(resized(one, sensors, 0) for one in self._past)
        self._calibration.grow(sensors)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots, raw = self._raw(batch, np.nan)
        novelty, _ = self._calibration.calibrate(slots, raw)
        return _fused(novelty)

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots, raw = self._raw(batch, 0.0)
        self._calibration.learn(slots, raw)
        _learn(*self._past, slots, *self._when(batch), column(batch.values, np.float64))

    def _raw(self, batch: Batch, other: float) -> tuple[Slots, Floats]:
        """Slots and (n, COLUMNS) raw scores; other: what stands for the side a residual is not on."""
        slots, values = slot_column(batch.slots, self._sensors), column(batch.values, np.float64)
        return slots, _raw(*self._past[:-1], slots, *self._when(batch), values, other)

    def _when(self, batch: Batch) -> When:
        return When(column(batch.time_ms, np.int64), column(batch.features, np.float64), self._places)

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        slots = slot_column(slots, self._sensors)
        for one in self._past:
            one[slots] = 0
        self._calibration.reset(slots)

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return sum(one.nbytes for one in self._past) + self._calibration.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        past = tuple(one[: self._sensors].copy() for one in self._past)
        return {"version": VERSION, "past": past, "calibration": self._calibration.state()}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION)
        profile, recent, values, newest = cast(tuple[npt.ArrayLike, ...], state["past"])
        self._calibration.load(cast(dict[str, object], state["calibration"]))
        self._past = _Past(
            np.array(profile, np.float32),
            np.array(recent, np.float64),
            np.array(values, np.float32),
            np.array(newest, np.int64),
        )
        self._sensors = len(self._past.newest)


@compiled
def _of_profile(profile: Numbers, hour: float, otherwise: float) -> tuple[float, float, float]:
    """At an hour: the mean value, `otherwise` where nothing is known; size of residuals; hours these are made of."""
    first, second, weight = neighbours(hour)
    value, size, weights, hours = 0.0, 0.0, 0.0, 0.0
    for place, part in ((first, 1.0 - weight), (second, weight)):
        known = place if profile[1, place] > 0.0 else (place + KINDS_OF_HOURS // 2) % KINDS_OF_HOURS
        if profile[1, known] > 0.0:
            value += part * profile[0, known]
            weights += part
            size += part * profile[1, known] * profile[2, known]
            hours += part * profile[1, known]
    return value / weights if weights > 0.0 else otherwise, size / hours if hours > 0.0 else 0.0, hours


@compiled
def _bin(recent: Floats, value: float) -> float:
    """Where a value lies in the histogram, between bins."""
    away = value - recent[CENTRE]
    if away == 0.0:
        return float(BINS // 2)
    place = np.arcsinh(away / recent[UNIT]) * PER_UNIT if recent[UNIT] > 0.0 else np.copysign(np.inf, away)
    return float(min(max(place + BINS // 2, 0.0), BINS - 1.0))


@compiled
def _rarity(recent: Floats, histogram: Numbers, value: float) -> float:
    if recent[COUNTED] < KNOWN_VALUES:
        return np.nan
    place = _bin(recent, value)
    first = min(int(place), BINS - 2)
    near = (first + 1 - place) * histogram[first] + (place - first) * histogram[first + 1]
    return float(np.log10((recent[COUNTED] + 1.0) / (near + 0.5)))


@compiled
def _less_anchor(recent: Floats, value: float) -> float:
    return float(min(max(min(max(value, -LARGEST), LARGEST) - recent[ANCHOR], -FURTHEST), FURTHEST))


# Kernels are called with arrays, not with tuples of them, which would take twice as long for a lone reading.
@compiled
def _raw(
    profiles: Numbers,
    recents: Floats,
    histograms: Numbers,
    slots: Slots,
    time_ms: Times,
    features: Floats,
    places: Places,
    values: Floats,
    other: float,
) -> Floats:
    when, raw = When(time_ms, features, places), np.full((len(slots), COLUMNS), np.nan)
    for row in range(len(slots)):
        slot = slots[row]
        recent = recents[slot]
        if recent[LEARNT] < MIN_SAMPLES:
            continue
        value = _less_anchor(recent, values[row])
        usual, size, hours = _of_profile(profiles[slot], hour_of(when, row), recent[USUAL])
        residual = value - usual - recent[LEVEL]
        # The size at this hour counts as many hours as it is made of, that of all hours counts one.
        scale = (hours * size + recent[SIZE]) / (hours + 1.0)
        scaled = residual / scale if scale > 0.0 else np.nan
        shift = recent[SHORT] + (value - recent[SHORT]) / SHORT_READINGS - recent[LONG]
        for k, one in enumerate((residual, scaled, shift)):
            if not np.isnan(one):
                raw[row, 2 * k] = one if one > 0.0 else other
                raw[row, 2 * k + 1] = -one if one <= 0.0 else other
        raw[row, 2 * RESIDUALS] = _rarity(recent, histograms[slot], value)
    return raw


@compiled
def _fused(novelty: Floats) -> Floats:
    """(n, COLUMNS) -> (n,): the power mean of those known; NaN when none is."""
    fused = np.empty(len(novelty))
    for row in range(len(novelty)):
        total, known = 0.0, 0.0
        for k in range(COLUMNS):
            if not np.isnan(novelty[row, k]):
                total += novelty[row, k] ** POWER
                known += 1.0
        fused[row] = (total / known) ** (1.0 / POWER) if known > 0.0 else np.nan
    return fused


@compiled
def _learn(
    profiles: Numbers,
    recents: Floats,
    histograms: Numbers,
    newest: Times,
    slots: Slots,
    time_ms: Times,
    features: Floats,
    places: Places,
    values: Floats,
) -> None:
    when = When(time_ms, features, places)
    for row in range(len(slots)):
        slot, now_ms = slots[row], time_ms[row]
        recent, profile = recents[slot], profiles[slot]
        if recent[LEARNT] == 0.0:
            recent[ANCHOR] = min(max(values[row], -LARGEST), LARGEST)
            newest[slot] = now_ms
        value, hour = _less_anchor(recent, values[row]), hour_of(when, row)
        recent[USUAL], _, _ = _of_profile(profile, hour, recent[USUAL])
        residual = value - recent[USUAL] - recent[LEVEL]
        recent[LEARNT] += 1.0
        weight = 1.0 / min(recent[LEARNT], LEVEL_READINGS)
        recent[LEVEL] += weight * residual
        recent[LONG] += weight * (value - recent[LONG])
        recent[SHORT] += (value - recent[SHORT]) / min(recent[LEARNT], SHORT_READINGS)
        recent[SIZE] += (abs(residual) - recent[SIZE]) / min(recent[LEARNT], 10.0 * LEVEL_READINGS)
        passed = hours_passed(newest, slot, now_ms)
        first, second, share = neighbours(hour)
        for place, part in ((first, 1.0 - share), (second, share)):
            if part > 0.0:
                rate = rate_of(profile, place, part * passed, PROFILE_HOURS)
                profile[0, place] += np.float32(rate * (value - profile[0, place]))
                profile[2, place] += np.float32(rate * (abs(residual) - profile[2, place]))
        _count(recent, histograms[slot], value)


@compiled
def _count(recent: Floats, histogram: Numbers, value: float) -> None:
    """Take a value into the histogram, or into the mean and the mean deviation it is made around."""
    away = abs(value - recent[CENTRE])
    if recent[LEARNT] <= CENTRE_READINGS:
        recent[CENTRE] += (value - recent[CENTRE]) / recent[LEARNT]
        recent[UNIT] += (away - recent[UNIT]) / max(recent[LEARNT] - 1.0, 1.0)
        return
    if recent[UNIT] == 0.0:
        recent[UNIT] = away
    place = _bin(recent, value)
    first = min(int(place), BINS - 2)
    histogram[first] += np.float32(first + 1 - place)
    histogram[first + 1] += np.float32(place - first)
    recent[COUNTED] += 1.0
    if recent[COUNTED] > 2.0 * HORIZON:
        histogram *= np.float32(0.5)
        recent[COUNTED] *= 0.5
