"""The asset model: what it finds, whom it names, what it gets used to; the same as its plain-Python specification."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.asset import GATED, LIMIT, REMEMBERED, START, SUSPECT, AssetModel, AssetVerdicts
from models.detector import Floats

WARM_UP = 80
PARAMETERS: dict[str, Any] = {"warm_up": WARM_UP, "horizon": 200, "hold": 10, "longest": 150}


def steady(ticks: int, sensors: int = 4, seed: int = 0) -> Floats:
    """(ticks, sensors) independent noise around different levels."""
    return 10.0 * np.arange(sensors) + np.random.default_rng(seed).normal(size=(ticks, sensors))


def judge(model: AssetModel, values: Floats, *, begin: int = 0) -> AssetVerdicts:
    """One asset, ticks from `begin`; NaN stands for a sensor without a value."""
    tick, member = np.nonzero(~np.isnan(values))
    return model.judge(begin + tick, member, values[tick, member])


def model_of(sensors: int = 4, **parameters: Any) -> AssetModel:
    """A model of one asset."""
    model = AssetModel(**(PARAMETERS | parameters))
    model.grow(np.zeros(sensors, np.int64))
    return model


def test_a_lasting_step_of_one_sensor_is_found_named_and_held_until_it_ends() -> None:
    values = steady(700)
    values[300:400, 2] += 3.0
    verdicts = judge(model_of(), values)
    assert not verdicts.is_anomaly[:300].any()
    assert verdicts.is_anomaly[310:400].all()
    assert not verdicts.is_anomaly[440:].any()
    assert (verdicts.top[310:390, 0] == 2).all()
    assert (verdicts.share[310:390, 0] > 0.6).all()


def test_several_small_deviations_together_are_an_anomaly() -> None:
    values = steady(500, sensors=8)
    alone = values.copy()
    alone[300:, 0] += 1.1
    values[300:] += 1.1
    assert judge(model_of(8), values).score[305:340].max() > judge(model_of(8), alone).score[305:340].max() + 0.5


def test_a_sensor_that_wanders_by_nature_may_wander_on() -> None:
    values = steady(900)
    values[:, 0] = 20 * np.sin(np.arange(900) / 15)
    assert not judge(model_of(), values).is_anomaly.any()


def test_an_alarm_that_lasts_becomes_the_new_normal() -> None:
    values = steady(1200)
    values[300:, 1] += 8.0
    in_alarm = judge(model_of(), values).is_anomaly
    assert in_alarm[303:450].all()
    assert not in_alarm[600:].any()


def test_unknown_until_two_sensors_are_known_and_while_fewer_speak() -> None:
    values = steady(500, sensors=3)
    values[:200, 1] = np.nan  # joins late
    values[300:, 1] = np.nan  # leaves
    values[:, 2] = np.nan  # never there
    verdicts = judge(model_of(3), values)
    known = ~np.isnan(verdicts.score)
    assert known.tolist() == [200 + WARM_UP <= tick <= 299 + PARAMETERS["hold"] for tick in range(500)]
    assert (verdicts.sensors[known] == 2).all()
    assert (verdicts.top[~known] == -1).all()


def test_sensors_at_different_rates_are_judged_together() -> None:
    values = steady(1500)
    values[np.arange(1500) % 5 != 0, 3] = np.nan
    values[800:900, 3] += 5.0
    verdicts = judge(model_of(), values)
    assert not verdicts.is_anomaly[:800].any()
    assert (verdicts.sensors[WARM_UP * 5 :] == 4).all()
    assert verdicts.is_anomaly[830:900].all()


def test_the_score_is_a_chance() -> None:
    """Of independent sensors at rest, about one moment in 10^s has a score of s."""
    score = judge(model_of(5, horizon=5000), steady(60_000, sensors=5)).score[5000:]
    for surprise in (1.0, 2.0, 3.0):
        assert 0.4 * 10**-surprise < (score >= surprise).mean() < 1.6 * 10**-surprise


@pytest.mark.parametrize("level", [0.0, -1e300, 1e-300, 1e9])
def test_constant_and_extreme_values_stay_finite(level: float) -> None:
    values = np.full((400, 3), level)
    values[200:, 0] = level / 2 + 1.0
    values[300, 1] = -level
    verdicts = judge(model_of(3), values)
    assert np.isfinite(verdicts.score[WARM_UP:]).all()
    assert (verdicts.score[WARM_UP : 2 * WARM_UP] == 0).all()
    assert np.isfinite(verdicts.share).all()


def test_cuts_do_not_matter_and_states_go_on_bit_for_bit() -> None:
    values = steady(400)
    values[250:300, 0] += 6.0
    whole = judge(model_of(), values)
    parts, model = [], model_of()
    for begin, end in ((0, 1), (1, 90), (90, 260), (260, 400)):
        parts.append(judge(model, values[begin:end], begin=begin))
        state = model.state()
        model = AssetModel(**PARAMETERS)
        model.load(state)
    for name in ("tick", "asset", "sensors", "score", "is_anomaly", "top", "share"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_assets_do_not_touch_each_other_and_one_is_reset_alone() -> None:
    values = steady(300, sensors=6)
    model = AssetModel(**PARAMETERS)
    model.grow(np.array([1, 0, 1]))
    model.grow(np.array([0, 0, 1]))
    order = np.array([1, 3, 4, 0, 2, 5])  # by asset
    tick = np.repeat(np.arange(300), 6)
    together = model.judge(tick, np.tile(order, 300), values[:, order].ravel())
    alone = judge(model_of(3), values[:, [0, 2, 5]])
    np.testing.assert_array_equal(together.score[together.asset == 1], alone.score)
    model.reset(np.array([0]))
    again = model.judge(np.full(6, 300), order, values[0, order])
    assert np.isnan(again.score).tolist() == [True, False]


def test_states_of_another_version_and_senseless_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        AssetModel().load({"version": 0})
    for wrong in ({"release": 5.0}, {"smoothing": 1.0}, {"warm_up": 10}, {"hold": -1}, {"longest": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            AssetModel(**wrong)
    with pytest.raises(IndexError, match="grow"):
        AssetModel().judge(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))


def test_memory_is_counted() -> None:
    model = AssetModel()
    model.grow(np.arange(10_000) // 8)
    assert 72 * 10_000 <= model.nbytes <= 2 * (72 + 24) * 10_000


class _Sensor:
    """The specification of one sensor, in plain Python."""

    def __init__(self) -> None:
        self.mean = self.deviation = self.square = self.learnt = self.surprise = 0.0

    def away(self, value: float) -> float:
        limit = LIMIT * math.sqrt(self.square) if self.learnt >= 2 * START else math.inf
        return min(max(value - self.mean, -limit), limit)

    def see(self, value: float, smoothing: float, horizon: float) -> None:
        if self.learnt == 0:
            self.mean = value
        self.deviation += smoothing * (self.away(value) - self.deviation)
        if self.square > 0:
            rho = (1 - smoothing) ** 2
            past = min(self.learnt, REMEMBERED * horizon) - START
            degrees = max(2.0, past * (1 - rho) / (1 + rho))
            ratio = self.deviation**2 / self.square
            distance = (8 * degrees + 1) / (8 * degrees + 3) * math.sqrt(degrees * math.log1p(ratio / degrees))
            self.surprise = -math.log10(math.erfc(distance / math.sqrt(2)))

    def learn(self, value: float, alarm: bool, horizon: float) -> None:
        weight = GATED if alarm and self.surprise > SUSPECT else 1.0
        step = weight * max(1 / (self.learnt + 1), 1 / horizon) * self.away(value)
        self.mean, self.deviation = self.mean + step, self.deviation - step
        if self.learnt >= START:
            rate = weight * max(1 / (self.learnt - START + 1), 1 / REMEMBERED / horizon)
            self.square += rate * (self.deviation**2 - self.square)
        self.learnt += weight


def specified(values: Sequence[Sequence[float]], threshold: float, release: float) -> list[tuple[float, bool]]:
    """(score, is_anomaly) of each tick of an asset whose sensors all speak in every tick."""
    sensors = [_Sensor() for _ in values[0]]
    verdicts, alarm, quiet = [], False, 0
    for row in values:
        for sensor, value in zip(sensors, row, strict=True):
            sensor.see(value, 0.15, PARAMETERS["horizon"])
        score = math.nan
        if sensors[0].learnt >= WARM_UP:
            score = -math.log10(len(sensors) / sum(10**sensor.surprise for sensor in sensors))
        quiet = 0 if score >= (release if alarm else threshold) else quiet + 1
        alarm = score >= threshold or (alarm and quiet <= PARAMETERS["hold"])
        for sensor, value in zip(sensors, row, strict=True):
            sensor.learn(value, alarm, PARAMETERS["horizon"])
        verdicts.append((score, alarm))
    return verdicts


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_specification_says(seed: int) -> None:
    values = steady(500, seed=seed)
    values[200:260, seed % 4] += 4.0
    values[350] += 100.0
    expected = specified(values.tolist(), 3.5, 2.5)
    found = judge(model_of(), values)
    np.testing.assert_allclose(found.score, [score for score, _ in expected], rtol=1e-9)
    assert found.is_anomaly.tolist() == [alarm for _, alarm in expected]
