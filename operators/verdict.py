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
from typing import Any, NamedTuple

import numpy as np

from models.calibration import Calibration
from models.compiled import compiled
from models.slots import column, resized, slot_column
from operators.batches import Flags, Floats, Ints

POWER = 3.0
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


class _Past(NamedTuple):
    """Per slot. pace: median interval learnt, ms, and intervals seen. smooth: smoothed novelty.

    blocks: its largest in each of the last blocks of readings. alarm: see STATE .. FIRST_MS. newest: time, ms.
    """

    pace: Floats
    smooth: Floats
    blocks: Floats
    alarm: Ints
    newest: Ints


STATE, SINCE_MS, READINGS, CALM, SEEN, FIRST_MS = range(6)
OFF, ON, SETTLING = range(3)


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


class _Found(NamedTuple):
    """(n,) each, to be filled."""

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
        self._as_they_are = [place for place, voice in enumerate(all_voices) if not voice.calibrated]
        self._per_week = float(false_alarms_per_week)
        self._sensors = 0
        self._calibration = Calibration(len(voices))
        empty = np.zeros(0)
        self._past = _Past(
            np.zeros((0, 2)), empty, np.zeros((0, BLOCKS)), np.zeros((0, 6), np.int64), empty.astype(np.int64)
        )

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        self._calibration.grow(sensors)
        self._past = _Past._make(resized(one, sensors, 0) for one in self._past)
        self._sensors = max(self._sensors, sensors)

    def judge(self, slots: Ints, time_ms: Ints, raw: Floats, in_order: Flags) -> Judged:
        """Judge readings of different sensors, and remember them.

        raw: (n, detectors) raw scores; NaN for unknown. in_order: (n,) rows on time and the newest of their sensor;
        others are only calibrated: they raise no alarm and change nothing.
        """
        slots, time_ms = slot_column(slots, self._sensors), column(time_ms, np.int64)
        in_order, n = column(in_order, np.bool_), len(slots)
        novelty, surprise = self._calibration.calibrate(slots, raw)
        for place in self._as_they_are:
            novelty[:, place] = surprise[:, place] = raw[:, place]
        none, no = np.full((2, n), np.nan), np.zeros((2, n), np.bool_)
        found = _Found(none[0], np.full(n, np.inf), no[0], none[1], no[1])
        learnt = _decide(self._past, slots, time_ms, novelty, surprise, in_order, self._weights, self._per_week, found)
        if learnt.all():
            self._calibration.learn(slots, raw)
        else:
            self._calibration.learn(slots[learnt], raw[learnt])
        return Judged(surprise, *found)

    def reset(self, slots: Ints) -> None:
        """Forget these sensors."""
        self._calibration.reset(slots)
        for one in self._past:
            one[slots] = 0

    def reset_detector(self, place: int) -> None:
        """One detector's scores mean something else now: its calibration starts afresh for all sensors."""
        self._calibration.reset_column(place)

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._calibration.nbytes + sum(one.nbytes for one in self._past)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        past = tuple(one[: self._sensors].copy() for one in self._past)
        return (STATE_VERSION, self._calibration.state(), past)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. Raises ValueError when it was made with another number of detectors."""
        _, calibration, past = state
        self._calibration.load(calibration)
        self._past = _Past._make(np.array(one) for one in past)
        self._sensors = len(self._past.newest)


@compiled
def _mean(numbers: Floats, weights: Floats) -> float:
    """The power mean of the numbers that are known; NaN when none is."""
    total, known = 0.0, 0.0
    for k in range(len(numbers)):
        if weights[k] > 0.0 and not np.isnan(numbers[k]):
            total += weights[k] * numbers[k] ** POWER
            known += weights[k]
    return float((total / known) ** (1.0 / POWER)) if known > 0.0 else np.nan


@compiled
def _pace(pace: Floats, interval_ms: float) -> float:
    """The sensor's usual interval: a running median, quick at first."""
    if pace[1] == 0.0:
        pace[0] = interval_ms
    elif interval_ms != pace[0]:
        step = pace[0] * max(0.5 / (1.0 + pace[1]), 0.5 / FIRST_INTERVALS)
        pace[0] = min(pace[0] + step, interval_ms) if interval_ms > pace[0] else max(pace[0] - step, interval_ms)
    pace[1] = min(pace[1] + 1.0, FIRST_INTERVALS)
    return float(pace[0])


@compiled
def _news(blocks: Floats, seen: int, fused: float) -> float:
    """`fused` if it exceeds the blocks of late, else 0; it is remembered."""
    largest = 0.0
    for one in blocks:
        largest = max(largest, one)
    place = seen // (NEWS_READINGS // BLOCKS) % BLOCKS
    if seen % (NEWS_READINGS // BLOCKS) == 0:
        blocks[place] = 0.0
    blocks[place] = max(blocks[place], fused)
    return fused if fused > largest else 0.0


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
    past: _Past,
    slots: Ints,
    time_ms: Ints,
    novelty: Floats,
    surprise: Floats,
    in_order: Flags,
    weights: Floats,
    per_week: float,
    found: _Found,
) -> Flags:
    """Fill `found`, row by row; rows in order are remembered. Returns those whose scores calibration is to learn."""
    learnt = np.zeros(len(slots), np.bool_)
    for row in range(len(slots)):
        slot = slots[row]
        fused = found.fused[row] = _mean(surprise[row], weights[:, 0])
        if not in_order[row]:
            continue
        mine = past.alarm[slot]
        interval_ms = 1.0
        if mine[SEEN] > 0:
            interval_ms = _pace(past.pace[slot], max(float(time_ms[row] - past.newest[slot]), 1.0))
        else:
            mine[FIRST_MS] = time_ms[row]
        past.newest[slot] = time_ms[row]
        mine[SEEN] += 1
        threshold = found.threshold[row] = np.log10(max(WEEK_MS / interval_ms / per_week, 10.0))
        now = _mean(novelty[row], weights[:, 1])
        if not np.isnan(now):
            before = past.smooth[slot]
            past.smooth[slot] = before + (now - before) / SMOOTHING if now > before else now
            found.score[row] = _news(past.blocks[slot], mine[SEEN], past.smooth[slot])
        if not np.isnan(fused):
            calm = fused < CLEAR * threshold
            _next_state(mine, time_ms[row], fused >= threshold, calm)
            found.alarm[row] = mine[STATE] == ON and not calm
        on = mine[STATE] == ON
        found.teaches[row] = not on
        learnt[row] = not on or mine[READINGS] <= LEARNT_OF_ALARM or mine[READINGS] % LEARNT_EVERY == 0
    return learnt
