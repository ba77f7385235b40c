"""One verdict from many detectors: calibrate each, fuse them, decide.

    raw scores -> tail surprise of each under the calm past -> power mean -> light smoothing -> fused
    fused -> its own tail surprise under the calm past: rarity -> alarm, with hysteresis -> gate of what is learnt
    raw scores -> the same under all of the past -> score, where it is news

The calm past is that without alarms. An alarm goes on when the fused surprise is so rare in it that, at the pace the
sensor sends readings, it would be seen `false_alarms_per_week` times. It stays on while readings remain strange, and no
longer than LONGEST: what lasts is a new normal. The score is for looking back and for ranking: how strange a moment is
beside everything seen before, earlier alarms included, and 0 for the rest of something already told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from models.calibration import TailSurprise
from models.compiled import compiled
from models.slots import column, resized, slot_column
from operators.batches import Flags, Floats, Ints

POWER = 3.0
"""Of the mean over detectors: between their average (1) and their largest (infinity)."""
SMOOTHING = 1.5
"""Readings over which rising fused surprise is averaged; it falls at once."""
NEWS_READINGS = 120
"""A score is given out only when it exceeds the largest of about so many readings before."""
CLEAR = 0.5
"""An alarm ends when surprise has fallen to this part of the threshold ..."""
CALM_READINGS = 2
"""... for so many readings in a row."""
LONGEST_MS, LONGEST_READINGS = 1_800_000, 5
"""An alarm that has lasted for both is over: the new normal is learnt."""
TEACHES_EVERY = 20
"""In an alarm only every so many-th reading teaches detectors."""

WEEK_MS = 7 * 86_400_000.0
STATE_VERSION = 1

BLOCKS = 8
"""The largest of late is kept as the largest of each of so many blocks of readings."""
FIRST_INTERVALS = 50


class _Past(NamedTuple):
    """Per slot. pace: median interval learnt, ms, and intervals seen.

    smooth: fused surprise under all of the past, and under the calm past. blocks: the former's largest in
    each of the last blocks of readings. alarm: see the columns below. newest: time, ms.
    """

    pace: Floats
    smooth: Floats
    blocks: Floats
    alarm: Ints
    newest: Ints


class _Strange(NamedTuple):
    """(n,) of rows: fused surprise under all of the past, under the calm past, and how rare the latter is."""

    news: Floats
    fused: Floats
    rarity: Floats


STATE, SINCE_MS, READINGS, CALM, SEEN = range(5)
OFF, ON, ACCEPTED = range(3)
"""States of an alarm; ACCEPTED: it lasted too long, and comes on again only after readings were calm."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One entry per row.

    surprise: (n, detectors) calibrated scores, -log10 of the chance of so high a one; NaN while unknown.
    fused: their smoothed power mean. rarity: -log10 of the chance of so high a one. alarm: the verdict.
    threshold: the rarity that raises an alarm, at the pace the sensor sends; infinite for rows out of order.
    score: smoothed power mean of surprises under all of the past, 0 where it is no news; NaN while unknown.
    teaches: rows detectors may learn.
    """

    surprise: Floats
    fused: Floats
    score: Floats
    rarity: Floats
    threshold: Floats
    alarm: Flags
    teaches: Flags


class Verdict:
    """Verdicts of one shard's sensors.

    weights: of each detector's surprise in the fusion; 0 for one that is only calibrated.
    false_alarms_per_week: per sensor, at most; what thresholds are derived from.
    """

    def __init__(self, weights: Sequence[float], *, false_alarms_per_week: float = 1.0) -> None:
        if not false_alarms_per_week > 0:
            raise ValueError(f"false_alarms_per_week = {false_alarms_per_week}: must be above 0")
        self._weights = np.array(weights, np.float64)
        self._per_week = float(false_alarms_per_week)
        self._sensors = 0
        self._fused = np.flatnonzero(self._weights > 0)
        self._ever = TailSurprise(len(self._fused))
        self._calm = TailSurprise(len(self._weights) + 1)  # the last column is the fused surprise
        self._past = _Past(
            np.zeros((0, 2)),
            np.zeros((0, 2)),
            np.zeros((0, BLOCKS)),
            np.zeros((0, 5), np.int64),
            np.zeros(0, np.int64),
        )

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        self._ever.grow(sensors)
        self._calm.grow(sensors)
        self._past = _Past._make(resized(one, sensors, 0) for one in self._past)
        self._sensors = max(self._sensors, sensors)

    def judge(self, slots: Ints, time_ms: Ints, raw: Floats, in_order: Flags) -> Judged:
        """Judge readings of different sensors, and remember them.

        raw: (n, detectors) raw scores; NaN for unknown. in_order: (n,) rows on time and the newest of their sensor;
        others are only calibrated: they raise no alarm and change nothing.
        """
        slots, time_ms = slot_column(slots, self._sensors), column(time_ms, np.int64)
        in_order = column(in_order, np.bool_)
        n, detectors = raw.shape
        ever, voices = raw[:, self._fused], self._weights[self._fused]
        news = _fuse(self._ever.surprise(slots, ever), voices, self._past.smooth, 0, slots, in_order)
        scores = np.empty((n, detectors + 1))
        scores[:, :detectors] = raw
        surprise = self._calm.surprise(slots, raw)
        fused = _fuse(surprise, self._weights, self._past.smooth, 1, slots, in_order)
        scores[:, detectors] = fused
        rarity = self._calm.surprise(slots, scores[:, detectors:], first=detectors)[:, 0]
        score, alarm, teaches = news.copy(), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        settled = np.zeros(n, np.bool_)
        threshold = np.full(n, np.inf)
        found = (score, threshold, alarm, teaches, settled)
        _decide(self._past, slots, time_ms, _Strange(news, fused, rarity), in_order, self._per_week, found)
        scores[~settled, detectors] = np.nan
        if alarm.any() or not in_order.all():
            calm = in_order & ~alarm
            self._ever.learn(slots[in_order], ever[in_order])
            self._calm.learn(slots[calm], scores[calm])
        else:
            self._ever.learn(slots, ever)
            self._calm.learn(slots, scores)
        return Judged(surprise, fused, score, rarity, threshold, alarm, teaches)

    def reset(self, slots: Ints) -> None:
        """Forget these sensors."""
        self._ever.reset(slots)
        self._calm.reset(slots)
        for one in self._past:
            one[slots] = 0

    def reset_detector(self, place: int) -> None:
        """One detector's scores mean something else now: its calibration starts afresh for all sensors."""
        self._calm.reset_column(place)
        for one in np.flatnonzero(self._fused == place):
            self._ever.reset_column(int(one))

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._ever.nbytes + self._calm.nbytes + sum(one.nbytes for one in self._past)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        past = tuple(one[: self._sensors].copy() for one in self._past)
        return (STATE_VERSION, self._ever.state(), self._calm.state(), past)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. Raises ValueError when it was made with another number of detectors."""
        _, ever, calm, past = state
        self._ever.load(ever)
        self._calm.load(calm)
        self._past = _Past._make(np.array(one) for one in past)
        self._sensors = len(self._past.newest)


@compiled
def _fuse(surprise: Floats, weights: Floats, smooth: Floats, which: int, slots: Ints, in_order: Flags) -> Floats:
    """(n, detectors) -> (n,): the smoothed power mean of the surprises that are known."""
    fused = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        total, known = 0.0, 0.0
        for k in range(len(weights)):
            if weights[k] > 0.0 and not np.isnan(surprise[row, k]):
                total += weights[k] * surprise[row, k] ** POWER
                known += weights[k]
        if known > 0.0:
            now = (total / known) ** (1.0 / POWER)
            before = smooth[slots[row], which]
            fused[row] = before + (now - before) / SMOOTHING if now > before else now
            if in_order[row]:
                smooth[slots[row], which] = fused[row]
    return fused


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
    alarm[CALM] = alarm[CALM] + 1 if calm else 0
    alarm[READINGS] += 1
    if alarm[STATE] == OFF:
        if strange:
            alarm[STATE], alarm[SINCE_MS], alarm[READINGS], alarm[CALM] = ON, time_ms, 1, 0
    elif alarm[CALM] >= CALM_READINGS:
        alarm[STATE] = OFF
    elif alarm[READINGS] > LONGEST_READINGS and time_ms - alarm[SINCE_MS] > LONGEST_MS:
        alarm[STATE] = ACCEPTED


@compiled
def _decide(
    past: _Past,
    slots: Ints,
    time_ms: Ints,
    strange: _Strange,
    in_order: Flags,
    per_week: float,
    found: tuple[Floats, Floats, Flags, Flags, Flags],
) -> None:
    """Fill `found`: score, alarm, teaches, and where no alarm is on or was accepted."""
    score, threshold, alarm, teaches, settled = found
    for row in range(len(slots)):
        slot = slots[row]
        if not in_order[row]:
            score[row] = np.nan
            continue
        mine = past.alarm[slot]
        interval_ms = 1.0
        if mine[SEEN] > 0:
            interval_ms = _pace(past.pace[slot], max(float(time_ms[row] - past.newest[slot]), 1.0))
        past.newest[slot] = time_ms[row]
        mine[SEEN] += 1
        threshold[row] = np.log10(max(WEEK_MS / interval_ms / per_week, 10.0))
        if not np.isnan(strange.news[row]):
            score[row] = _news(past.blocks[slot], mine[SEEN], strange.news[row])
        if not np.isnan(strange.fused[row]):
            rare = strange.fused[row] if np.isnan(strange.rarity[row]) else strange.rarity[row]
            limit = threshold[row]
            _next_state(mine, time_ms[row], rare >= limit, rare < CLEAR * limit)
        alarm[row] = mine[STATE] == ON
        settled[row] = mine[STATE] == OFF
        teaches[row] = not alarm[row] or mine[READINGS] % TEACHES_EVERY == 0
