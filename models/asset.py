"""Several sensors of one asset judged together, tick by tick.

Each sensor is compared with itself: its deviation is its short mean minus its long mean, its scale the root mean square
of its own past deviations. So a sensor that wanders by nature (a temperature) has to wander further than ever, while a
steady one (a flow) is told on by a small step that lasts. With few independent past deviations a large one means less:
its chance is taken from Student's t, whose degrees of freedom for the mean square of n short means with weight a of the
newest value, rho = 1 - a, are n (1 - rho^2) / (1 + rho^2) (Bartlett 1946).

The sensors' chances are combined by their harmonic mean (Wilson 2019, doi:10.1073/pnas.1814092116), which holds for
sensors that depend on each other, and which one sensor far out or several somewhat out make small.

In alarm the sensors that deviate learn 15 times slower, else they would soon take the fault for their normal state; the
others go on as usual. An alarm of `longest` ticks is the new normal: long means move to where the sensors are.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Slots, check_state
from models.slots import column, resized, slot_column

START = 30
"""Values after which a sensor's long mean is good enough for its deviations to be learnt."""

LIMIT = 45.0
"""A value further from the long mean than so many scales counts as so far."""

SUSPECT = 2.0
"""In alarm, sensors whose own surprise is above this (a chance of one in a hundred) learn slower ..."""

GATED = 1 / 15
"""... with this part of their usual weight."""

REMEMBERED = 4.0
"""Scales forget so many times slower than long means, so that what happens seldom stays known."""

NOISE = 1e-9
"""A scale below this part of the long mean is taken for rounding, and this part is used in its place."""

MAX_RATIO = 1e6
"""Deviations of a sensor that never deviated before end here, in its scales."""

TOP = 3
"""Sensors named in a verdict."""

HUGE = 1e150
"""Values beyond count as this, so that their squares stay finite."""

VERSION = 1

_MEAN, _DEVIATION, _SQUARE, _LEARNT, _SURPRISE, _DISTANCE = range(6)
_ASSET, _NEXT, _LAST = range(3)
_FIRST, _ALARM, _QUIET = range(3)
_NONE = -1


@dataclass(frozen=True, slots=True)
class AssetVerdicts:
    """One row per tick and asset.

    tick, asset: which.
    sensors: known sensors it was judged by.
    score: NaN while fewer than two are known.
    is_anomaly: in alarm.
    top: (n, TOP) members that deviate most, the first most of all; -1 for none. share: (n, TOP) of the sum of squared
        distances over all sensors, each in units of its own scale.
    """

    tick: Slots
    asset: Slots
    sensors: Slots
    score: Floats
    is_anomaly: npt.NDArray[np.bool_]
    top: Slots
    share: Floats


class AssetModel:
    """Score: surprise of an asset's sensors together, -log10 of the chance of so strange a tick in its own past.

    Assets and members (sensors of an asset) are numbered from 0 in order of coming. Ticks are numbered evenly in time;
    a member has one value in a tick, or none.

    threshold: the alarm begins with a score of at least this; 3.5 is a chance of 1 in 3,200. Neighbouring ticks share
        their evidence, so that one in 2 / smoothing counts for itself: an asset that keeps to its past then has
        604,800 / (13.3 * seconds of a tick) / 3,200 false alarms a week, 14 with ticks of 1 s and one with 14 s.
    release, hold: it ends when the score has been below `release` for more than `hold` judged ticks.
    longest: after so many ticks in alarm the present is taken for the new normal.
    smoothing: weight of the newest value in a member's short mean.
    warm_up: values a member needs to be known; an asset is judged by its known members, at least two. One without a
        value for more than `hold` ticks is left out until it has one again.
    horizon: values over which long means forget, and four times as many for scales.
    """

    def __init__(
        self,
        *,
        threshold: float = 3.5,
        release: float = 2.5,
        hold: int = 30,
        longest: int = 1800,
        smoothing: float = 0.15,
        warm_up: int = 400,
        horizon: int = 800,
    ) -> None:
        if not 0 < release <= threshold:
            raise ValueError(f"release = {release}: must be above 0 and at most the threshold ({threshold})")
        if hold < 0 or longest < 1:
            raise ValueError(f"hold = {hold}, longest = {longest}: must be at least 0 and 1 ticks")
        if not 0 < smoothing < 1:
            raise ValueError(f"smoothing = {smoothing}: must be between 0 and 1")
        if not 2 * START <= warm_up <= horizon:
            raise ValueError(f"warm_up = {warm_up}: must be from {2 * START} to horizon ({horizon})")
        self._parameters = np.array([threshold, release, hold, longest, smoothing, warm_up, horizon], np.float64)
        self._count = (0, 0)
        self._assets: Slots = np.empty((0, 3), np.int64)
        self._links: Slots = np.empty((0, 3), np.int64)
        self._numbers: Floats = np.empty((0, 6))

    def grow(self, asset: Slots) -> None:
        """New members, (n,) the asset of each."""
        assets, first = self._count
        assets, last = max(assets, int(asset.max(initial=-1)) + 1), first + len(asset)
        self._assets = resized(self._assets, assets, (_NONE, 0, 0))
        self._links = resized(self._links, last, 0)
        self._numbers = resized(self._numbers, last, 0.0)
        for member, one in enumerate(asset.tolist(), first):
            self._links[member] = one, self._assets[one, _FIRST], 0
            self._assets[one, _FIRST] = member
        self._count = assets, last

    def judge(self, tick: Slots, member: Slots, value: Floats) -> AssetVerdicts:
        """Judge, then learn, finite values sorted by tick and, within a tick, by asset; no member twice in a tick.

        Ticks must be later than any judged before.
        """
        member = slot_column(member, self._count[1])
        asset = self._links[member, _ASSET]
        first = np.ones(len(tick), np.bool_)
        first[1:] = (tick[1:] != tick[:-1]) | (asset[1:] != asset[:-1])
        begin = np.flatnonzero(first)
        n = len(begin)
        sensors, in_alarm, score = np.zeros(n, np.int64), np.zeros(n, np.bool_), np.full(n, np.nan)
        top, share = np.full((n, TOP), _NONE, np.int64), np.zeros((n, TOP))
        _judge(
            self._assets,
            self._links,
            self._numbers,
            self._parameters,
            np.append(begin, len(member)),
            column(tick, np.int64),
            member,
            np.clip(value, -HUGE, HUGE),
            sensors,
            in_alarm,
            score,
            top,
            share,
        )
        return AssetVerdicts(tick[begin], asset[begin], sensors, score, in_alarm, top, share)

    def reset(self, assets: Slots) -> None:
        """Forget what the assets' members have learnt, and their alarms."""
        self._assets[slot_column(assets, self._count[0]), _ALARM:] = 0
        members = np.flatnonzero(np.isin(self._links[: self._count[1], _ASSET], assets))
        self._numbers[members] = 0.0
        self._links[members, _LAST] = 0

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._assets.nbytes + self._links.nbytes + self._numbers.nbytes

    def state(self) -> dict[str, object]:
        """A copy, plain."""
        assets, members = self._count
        return {
            "version": VERSION,
            "assets": self._assets[:assets].copy(),
            "links": self._links[:members].copy(),
            "numbers": self._numbers[:members].copy(),
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()`, perhaps with other parameters. Raises ValueError when it is of another version."""
        check_state(state, version=VERSION)
        self._assets = np.array(state["assets"], np.int64)
        self._links = np.array(state["links"], np.int64)
        self._numbers = np.array(state["numbers"], np.float64)
        self._count = len(self._assets), len(self._links)


@compiled
def _judge(
    assets: Slots,
    links: Slots,
    numbers: Floats,
    parameters: Floats,
    begin: Slots,
    tick: Slots,
    member: Slots,
    value: Floats,
    sensors: Slots,
    in_alarm: npt.NDArray[np.bool_],
    score: Floats,
    top: Slots,
    share: Floats,
) -> None:
    threshold, release, hold, longest, smoothing, warm_up, horizon = parameters
    rho = (1.0 - smoothing) ** 2
    independent = (1.0 - rho) / (1.0 + rho)
    for group in range(len(begin) - 1):
        rows = range(begin[group], begin[group + 1])
        now = tick[begin[group]]
        asset = links[member[begin[group]], _ASSET]
        for row in rows:
            links[member[row], _LAST] = now
            _deviate(numbers[member[row]], value[row], smoothing, independent, horizon)
        score[group] = _combine(assets[asset, _FIRST], links, numbers, now - hold, warm_up, sensors, group, top, share)
        alarm = _alarm(assets[asset], score[group], threshold, release, hold)
        in_alarm[group] = alarm
        for row in rows:
            _learn(numbers[member[row]], value[row], alarm, horizon)
        if assets[asset, _ALARM] > longest:
            assets[asset, _ALARM] = 0
            one = assets[asset, _FIRST]
            while one != _NONE:
                numbers[one, _MEAN] += numbers[one, _DEVIATION]
                numbers[one, _DEVIATION] = numbers[one, _SURPRISE] = numbers[one, _DISTANCE] = 0.0
                one = links[one, _NEXT]


@compiled
def _scale(numbers: Floats) -> float:
    scale: float = max(math.sqrt(numbers[_SQUARE]), NOISE * abs(numbers[_MEAN]))
    return scale


@compiled
def _away(numbers: Floats, value: float) -> float:
    """Distance of a value from the long mean, limited once the scale is known."""
    away: float = value - numbers[_MEAN]
    scale = _scale(numbers)
    if numbers[_LEARNT] < 2 * START or scale == 0.0:
        return away
    return min(max(away, -LIMIT * scale), LIMIT * scale)


@compiled
def _deviate(numbers: Floats, value: float, smoothing: float, independent: float, horizon: float) -> None:
    """The short mean moves on; how strange is it now?"""
    if numbers[_LEARNT] == 0.0:
        numbers[_MEAN] = value
    numbers[_DEVIATION] += smoothing * (_away(numbers, value) - numbers[_DEVIATION])
    scale, deviation = _scale(numbers), abs(numbers[_DEVIATION])
    ratio = 0.0
    if deviation > 0.0:
        ratio = deviation / scale if deviation < MAX_RATIO * scale else MAX_RATIO
    degrees = max(2.0, independent * (min(numbers[_LEARNT], REMEMBERED * horizon) - START))
    # Student's t to the normal distribution: Wallace 1959, doi:10.1214/aoms/1177706094.
    distance = (8.0 * degrees + 1.0) / (8.0 * degrees + 3.0) * math.sqrt(degrees * math.log1p(ratio * ratio / degrees))
    numbers[_DISTANCE] = distance
    if distance < 25.0:
        numbers[_SURPRISE] = -math.log10(math.erfc(distance / math.sqrt(2.0)))
    else:  # the leading term of its expansion, where erfc would soon be 0
        numbers[_SURPRISE] = distance * distance / (2.0 * math.log(10.0)) + math.log10(
            distance * math.sqrt(math.pi / 2)
        )


@compiled
def _combine(
    first: int,
    links: Slots,
    numbers: Floats,
    since: float,
    warm_up: float,
    sensors: Slots,
    group: int,
    top: Slots,
    share: Floats,
) -> float:
    """Surprise of the harmonic mean of the chances, in logarithms so that nothing overflows; who has which share."""
    known, largest, squares = 0, 0.0, 0.0
    one = first
    while one != _NONE:
        if links[one, _LAST] >= since and numbers[one, _LEARNT] >= warm_up:
            known += 1
            largest = max(largest, numbers[one, _SURPRISE])
            square = numbers[one, _DISTANCE] ** 2
            squares += square
            place = TOP
            while place > 0 and (top[group, place - 1] == _NONE or share[group, place - 1] < square):
                place -= 1
                if place + 1 < TOP:
                    top[group, place + 1], share[group, place + 1] = top[group, place], share[group, place]
            if place < TOP:
                top[group, place], share[group, place] = one, square
        one = links[one, _NEXT]
    sensors[group] = known
    if known < 2:
        top[group], share[group] = _NONE, 0.0
        return math.nan
    if squares > 0.0:
        share[group] /= squares
    total = 0.0
    one = first
    while one != _NONE:
        if links[one, _LAST] >= since and numbers[one, _LEARNT] >= warm_up:
            total += 10.0 ** (numbers[one, _SURPRISE] - largest)
        one = links[one, _NEXT]
    return largest + math.log10(total / known)


@compiled
def _alarm(asset: Slots, score: float, threshold: float, release: float, hold: float) -> bool:
    """Whether the asset is in alarm; a score that is not known counts as quiet."""
    if score >= threshold or (score >= release and asset[_ALARM] > 0):
        asset[_QUIET] = 0
    else:
        asset[_QUIET] += 1
        if asset[_QUIET] > hold:
            asset[_ALARM] = 0
    if score >= threshold or asset[_ALARM] > 0:
        asset[_ALARM] += 1
    return bool(asset[_ALARM] > 0)


@compiled
def _learn(numbers: Floats, value: float, alarm: bool, horizon: float) -> None:
    """Long mean and scale move on; both means are kept in place by what the other one moves."""
    weight = GATED if alarm and numbers[_SURPRISE] > SUSPECT else 1.0
    learnt = numbers[_LEARNT]
    step = weight * max(1.0 / (learnt + 1.0), 1.0 / horizon) * _away(numbers, value)
    numbers[_MEAN] += step
    numbers[_DEVIATION] -= step
    if learnt >= START:
        rate = weight * max(1.0 / (learnt - START + 1.0), 1.0 / (REMEMBERED * horizon))
        numbers[_SQUARE] += rate * (numbers[_DEVIATION] ** 2 - numbers[_SQUARE])
    numbers[_LEARNT] = learnt + weight
