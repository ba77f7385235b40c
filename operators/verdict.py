"""One verdict from many detectors: calibrate each, fuse them, decide.

    raw scores -> surprise of each -> power mean: fused -> alarm, with hysteresis -> gate of what is learnt
    raw scores -> novelty of each -> power mean -> light smoothing -> score, where it is news

An alarm goes on when a moment is so strange beside the usual that, at the pace the sensor sends readings, one as
strange would be seen `false_alarms_per_week` times. It stays on while readings remain strange, and no longer than
LONGEST: what lasts is a new normal. The score is for looking back and for ranking: how strange a moment is beside all
that was seen before, earlier faults included, and 0 for the rest of something already told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration, Wanted
from models.compiled import compiled
from models.slots import column, resized, slot_column
from operators.batches import Flags, Floats, Ints

POWER = 3
"""Of the means over detectors: between their average (1) and their largest (infinity)."""
SMOOTHING = 1.5
"""Readings over which rising novelty is averaged; it falls at once."""
NEWS_READINGS = 120
"""A score is given out only when it exceeds the largest of about so many readings before."""
CLEAR = 0.7
"""Readings are calm below this part of the threshold ..."""
CALM_READINGS = 2
"""... and an alarm is over after so many of them in a row."""
LONGEST_MS, LONGEST_READINGS = 1_800_000, 5
"""An alarm that has lasted for both, or as long as the sensor was known before, is over: the new normal is learnt."""
LEARNT_OF_ALARM, LEARNT_EVERY = 10, 20
"""Calibration learns so many readings of an alarm, then every so many-th; detectors learn none."""
SETTLING_READINGS = 300
"""After such an alarm there is no other one for so many readings, unless they are calm before."""

WEEK_MS = 7 * 86_400_000.0
STATE_VERSION = 1

BLOCKS = 8
"""The largest of late is kept as the largest of each of so many blocks of readings."""
FIRST_INTERVALS = 50


@dataclass(frozen=True, slots=True)
class Voice:
    """What a detector has to say, as weights in the two means; 0 for nothing.

    calibrated: False for raw scores that are -log10 of a chance already.
    """

    alarm: float = 1.0
    score: float = 1.0
    calibrated: bool = True

    @property
    def wanted(self) -> Wanted:
        """What its scores are calibrated for."""
        if not self.calibrated:
            return "none"
        return "both" if self.score > 0 else "surprise"


PACE, INTERVALS, SMOOTH, FIRST_BLOCK = range(4)
"""Of a sensor, in numbers: usual interval, ms, and how many it is made of; smoothed novelty; from FIRST_BLOCK on its
largest in each of the last blocks of readings."""
STATE, SINCE_MS, READINGS, CALM, SEEN, FIRST_MS, NEWEST_MS = range(7)
"""Of a sensor, in whole numbers: of its alarm the state, when it began and readings since; calm readings in a row;
readings seen; times of the first and the newest."""
OFF, ON, SETTLING = range(3)
ALARM, SCORE = range(2)


@dataclass(frozen=True, slots=True)
class Judged:
    """One entry per row.

    surprise: (n, detectors) calibrated scores, -log10 of the chance of so high a one by the usual. fused: their power
        mean. threshold: what it is compared with; infinite for rows out of order. alarm: the verdict.
    score: smoothed power mean of novelty, 0 where it is no news. NaN while unknown.
    teaches: rows that detectors may learn.
    """

    surprise: Floats
    fused: Floats
    threshold: Floats
    alarm: Flags
    score: Floats
    teaches: Flags


class Verdict:
    """Verdicts of one shard's sensors.

    voices: one per detector; a number stands for a voice of that weight in both means.
    false_alarms_per_week: per sensor, at most; what thresholds are derived from.
    """

    def __init__(self, voices: Sequence[Voice | float], *, false_alarms_per_week: float = 1.0) -> None:
        if not false_alarms_per_week > 0:
            raise ValueError(f"false_alarms_per_week = {false_alarms_per_week}: must be above 0")
        all_voices = [one if isinstance(one, Voice) else Voice(one, one) for one in voices]
        self._weights = np.array([(voice.alarm, voice.score) for voice in all_voices], np.float64).reshape(-1, 2)
        self._per_week = float(false_alarms_per_week)
        self._sensors = 0
        self._calibration = Calibration([voice.wanted for voice in all_voices])
        self._numbers = np.zeros((0, FIRST_BLOCK + BLOCKS))
        self._whole = np.zeros((0, NEWEST_MS + 1), np.int64)

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        self._calibration.grow(sensors)
        self._numbers = resized(self._numbers, sensors, 0.0)
        self._whole = resized(self._whole, sensors, 0)
        self._sensors = max(self._sensors, sensors)

    def judge(self, slots: Ints, time_ms: Ints, raw: Floats, in_order: Flags) -> Judged:
        """Judge readings of different sensors, and remember them.

        raw: (n, detectors) raw scores; NaN for unknown. in_order: (n,) rows on time and the newest of their sensor;
        others are only calibrated: they raise no alarm and change nothing.
        """
        slots, time_ms = slot_column(slots, self._sensors), column(time_ms, np.int64)
        in_order, n = column(in_order, np.bool_), len(slots)
        novelty, surprise = self._calibration.calibrate(slots, raw)
        told, flags = np.full((3, n), np.nan), np.zeros((3, n), np.bool_)
        _decide(
            self._numbers,
            self._whole,
            slots,
            time_ms,
            novelty,
            surprise,
            in_order,
            self._weights,
            self._per_week,
            told,
            flags,
        )
        learnt = flags[2]
        if learnt.all():
            self._calibration.learn(slots, raw)
        else:
            self._calibration.learn(slots[learnt], raw[learnt])
        return Judged(surprise, told[0], told[1], flags[0], told[2], flags[1])

    def reset(self, slots: Ints) -> None:
        """Forget these sensors."""
        self._calibration.reset(slots)
        self._numbers[slots] = 0.0
        self._whole[slots] = 0

    def reset_detector(self, place: int) -> None:
        """One detector's scores mean something else now: its calibration starts afresh for all sensors."""
        self._calibration.reset_column(place)

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._calibration.nbytes + self._numbers.nbytes + self._whole.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        n = self._sensors
        return (STATE_VERSION, self._calibration.state(), self._numbers[:n].copy(), self._whole[:n].copy())

    def load(self, state: tuple[Any, ...], was: Sequence[int | None] | None = None) -> None:
        """Go on from `snapshot()`. was: where each detector was then, see Calibration.load."""
        _, calibration, numbers, whole = state
        self._calibration.load(calibration, was)
        self._numbers, self._whole = np.array(numbers), np.array(whole)
        self._sensors = len(self._whole)


@compiled
def _mean(numbers: Floats, row: int, weights: Floats, which: int) -> float:
    """The power mean of a row's numbers that are known; NaN when none is."""
    total, known = 0.0, 0.0
    for k in range(len(weights)):
        weight, number = weights[k, which], numbers[row, k]
        if weight > 0.0 and not np.isnan(number):
            total += weight * number**POWER
            known += weight
    return float((total / known) ** (1.0 / POWER)) if known > 0.0 else np.nan


@compiled
def _pace(mine: Floats, interval_ms: float) -> float:
    """The sensor's usual interval: a running median, quick at first."""
    if mine[INTERVALS] == 0.0:
        mine[PACE] = interval_ms
    elif interval_ms != mine[PACE]:
        step = mine[PACE] * max(0.5 / (1.0 + mine[INTERVALS]), 0.5 / FIRST_INTERVALS)
        longer = interval_ms > mine[PACE]
        mine[PACE] = min(mine[PACE] + step, interval_ms) if longer else max(mine[PACE] - step, interval_ms)
    mine[INTERVALS] = min(mine[INTERVALS] + 1.0, FIRST_INTERVALS)
    return float(mine[PACE])


@compiled
def _news(mine: Floats, seen: int, novelty: float) -> float:
    """Smoothed novelty if it exceeds the blocks of late, else 0; it is remembered."""
    before = mine[SMOOTH]
    smooth = mine[SMOOTH] = before + (novelty - before) / SMOOTHING if novelty > before else novelty
    largest = 0.0
    for block in range(BLOCKS):
        largest = max(largest, mine[FIRST_BLOCK + block])
    place = FIRST_BLOCK + seen // (NEWS_READINGS // BLOCKS) % BLOCKS
    if seen % (NEWS_READINGS // BLOCKS) == 0:
        mine[place] = 0.0
    mine[place] = max(mine[place], smooth)
    return float(smooth) if smooth > largest else 0.0


@compiled
def _next_state(alarm: Ints, time_ms: int, strange: bool, calm: bool) -> None:
    """Move the alarm of a sensor on by one reading."""
    longest_ms = min(LONGEST_MS, alarm[SINCE_MS] - alarm[FIRST_MS])
    alarm[CALM] = alarm[CALM] + 1 if calm else 0
    alarm[READINGS] += 1
    if alarm[STATE] == OFF:
        if strange:
            alarm[STATE], alarm[SINCE_MS], alarm[READINGS], alarm[CALM] = ON, time_ms, 1, 0
    elif alarm[CALM] >= CALM_READINGS:
        alarm[STATE] = OFF
    elif alarm[STATE] == ON and alarm[READINGS] > LONGEST_READINGS and time_ms - alarm[SINCE_MS] > longest_ms:
        alarm[STATE], alarm[READINGS] = SETTLING, 0
    elif alarm[STATE] == SETTLING and alarm[READINGS] > SETTLING_READINGS:
        alarm[STATE] = OFF


@compiled
def _decide(
    numbers: Floats,
    whole: Ints,
    slots: Ints,
    time_ms: Ints,
    novelty: Floats,
    surprise: Floats,
    in_order: Flags,
    weights: Floats,
    per_week: float,
    told: Floats,
    flags: npt.NDArray[np.bool_],
) -> None:
    """Row by row fill told: fused surprise, threshold, score; and flags: alarm, teaches, learnt by calibration.

    Rows in order are remembered.
    """
    for row in range(len(slots)):
        fused = told[0, row] = _mean(surprise, row, weights, ALARM)
        told[1, row] = np.inf
        if not in_order[row]:
            continue
        mine, alarm, now_ms = numbers[slots[row]], whole[slots[row]], time_ms[row]
        interval_ms = 1.0
        if alarm[SEEN] > 0:
            interval_ms = _pace(mine, max(float(now_ms - alarm[NEWEST_MS]), 1.0))
        else:
            alarm[FIRST_MS] = now_ms
        alarm[NEWEST_MS] = now_ms
        alarm[SEEN] += 1
        threshold = told[1, row] = np.log10(max(WEEK_MS / interval_ms / per_week, 10.0))
        new = _mean(novelty, row, weights, SCORE)
        if not np.isnan(new):
            told[2, row] = _news(mine, alarm[SEEN], new)
        if not np.isnan(fused):
            calm = fused < CLEAR * threshold
            _next_state(alarm, now_ms, fused >= threshold, calm)
            flags[0, row] = alarm[STATE] == ON and not calm
        on = alarm[STATE] == ON
        flags[1, row] = not on
        flags[2, row] = not on or alarm[READINGS] <= LEARNT_OF_ALARM or alarm[READINGS] % LEARNT_EVERY == 0
