"""Deviation, Flatness and SeasonalForecast against plain Python, and what each is for."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from models.detector import Batch, Detector, Floats, Forecasting
from models.deviation import Deviation
from models.flatness import Flatness
from models.forecast import SeasonalForecast
from models.hours import HOUR_MS

DAY_MS = 24 * HOUR_MS
MONDAY_MS = 4 * DAY_MS  # 1970-01-05


def one(value: float, *, time_ms: int = 0, features: tuple[float, ...] = ()) -> Batch:
    zero = np.zeros(1, np.int64)
    return Batch(zero, np.array([time_ms]), np.array([value]), np.array([features]).reshape(1, -1), zero, zero)


def scores(detector: Detector, values: Floats, *, step_ms: int = 1_000, from_ms: int = 0) -> Floats:
    """Each value scored, then learnt."""
    detector.grow(1)
    found = []
    for row, value in enumerate(values):
        batch = one(value, time_ms=from_ms + row * step_ms)
        found.append(detector.score(batch)[0])
        detector.learn(batch)
    return np.array(found)


def faded(values: Floats, readings: int) -> float:
    mean = 0.0
    for n, value in enumerate(values, 1):
        mean += (value - mean) / min(n, readings)
    return mean


def test_deviation_is_the_distance_of_two_faded_means() -> None:
    values = np.random.default_rng(1).standard_normal(60)
    found = scores(Deviation((), long=20, short=4), values)
    for row in (2, 10, 59):
        expected = abs(faded(values[: row + 1], 4) - faded(values[:row], 20))
        assert found[row] == pytest.approx(expected, abs=1e-12)


def test_deviation_refuses_a_short_mean_longer_than_the_long_one() -> None:
    with pytest.raises(ValueError, match="short = 9, long = 8"):
        Deviation((), long=8, short=9)


def test_a_noisy_sensor_that_is_stuck_scores_high_soon_a_constant_one_never() -> None:
    noisy = np.round(np.random.default_rng(2).standard_normal(2_000), 1)
    stuck = scores(Flatness(()), np.append(noisy, np.full(8, noisy[-1])))
    assert np.nanmax(stuck[:2_000]) < 6.0 < stuck[-1]
    assert np.nanmax(scores(Flatness(()), np.full(3_000, 7.0))) == 0.0


def test_a_slow_sensor_repeats_itself_without_being_stuck() -> None:
    """Readings every second of a room: each tenth of a degree is shown for about a minute."""
    slow = np.round(21 + np.sin(np.arange(20_000) / 3_000), 1)
    assert np.nanmax(scores(Flatness(()), slow)[1_000:]) < 6.0


def daily(time_ms: npt.NDArray[np.int64]) -> Floats:
    return 20 + 5 * np.cos(2 * np.pi * time_ms / DAY_MS)


@pytest.mark.parametrize("step_ms", [60_000, 300_000, HOUR_MS])
def test_forecast_learns_the_day_whatever_the_interval(step_ms: int) -> None:
    times = np.arange(MONDAY_MS, MONDAY_MS + 5 * DAY_MS, step_ms)
    detector = SeasonalForecast(())
    found = scores(detector, daily(times), step_ms=step_ms, from_ms=MONDAY_MS)
    friday = times >= MONDAY_MS + 4 * DAY_MS
    assert found[friday].max() < 1.0
    assert np.abs(daily(times[friday]) - 20).max() == 5.0


def test_forecast_borrows_the_weekdays_for_the_first_weekend_then_knows_better() -> None:
    times = np.arange(MONDAY_MS, MONDAY_MS + 21 * DAY_MS, 600_000)
    weekend = (times - MONDAY_MS) % (7 * DAY_MS) >= 5 * DAY_MS
    values = np.where(weekend, 20.0, daily(times))
    found = scores(SeasonalForecast((), level=1_000_000), values, step_ms=600_000, from_ms=MONDAY_MS)
    assert found[weekend].max() > 3.0, "the first Saturday"
    assert found[(times >= MONDAY_MS + 15 * DAY_MS) & ~weekend].max() < 1.5
    assert found[(times >= MONDAY_MS + 19 * DAY_MS) & weekend].max() < 1.5


def test_forecast_takes_the_local_time_from_the_features() -> None:
    """A sensor six hours east of UTC: the same daily course, told by its own clock, has the same scores."""
    names = ("hour_sin", "hour_cos", "day_sin", "day_cos")
    by_utc, by_clock = SeasonalForecast(()), SeasonalForecast(names)
    for detector in (by_utc, by_clock):
        detector.grow(1)
    for row in range(2_000):
        local_ms = MONDAY_MS + row * 600_000
        day, week = 2 * np.pi * local_ms / DAY_MS, 2 * np.pi * (local_ms - MONDAY_MS) / (7 * DAY_MS)
        value = float(daily(np.array([local_ms]))[0])
        there = one(
            value,
            time_ms=local_ms - 6 * HOUR_MS,
            features=(math.sin(day), math.cos(day), math.sin(week), math.cos(week)),
        )
        expected, found = by_utc.score(one(value, time_ms=local_ms)), by_clock.score(there)
        assert found[0] == pytest.approx(expected[0], abs=1e-4, nan_ok=True)
        by_utc.learn(one(value, time_ms=local_ms))
        by_clock.learn(there)


def test_forecast_tells_the_value_and_an_interval_that_holds() -> None:
    detector = SeasonalForecast(())
    assert isinstance(detector, Forecasting)
    rng = np.random.default_rng(3)
    times = MONDAY_MS + np.arange(3_000) * 120_000
    values = daily(times) + 0.5 * rng.standard_normal(len(times))
    scores(detector, values[:2_500], step_ms=120_000, from_ms=MONDAY_MS)
    inside = []
    for time_ms, value in zip(times[2_500:].tolist(), values[2_500:].tolist(), strict=True):
        batch = one(value, time_ms=time_ms)
        expected, lower, upper = (float(end[0]) for end in detector.expected(batch))
        assert lower < expected < upper
        assert detector.score(batch)[0] == pytest.approx(abs(value - expected))
        inside.append(lower <= value <= upper)
        detector.learn(batch)
    assert 0.95 < np.mean(inside) <= 1.0


def test_forecast_knows_no_value_before_it_has_learnt_some() -> None:
    detector = SeasonalForecast(())
    detector.grow(1)
    assert all(math.isnan(end[0]) for end in detector.expected(one(1.0)))
    with pytest.raises(ValueError, match="level = 0 readings"):
        SeasonalForecast((), level=0)
