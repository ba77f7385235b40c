"""Novelty: what each of its ways of seeing is for, and its edges."""

import math
import pickle

import numpy as np
import pytest

from models.detector import Batch, Floats
from models.hours import HOUR_MS
from models.novelty import BINS, CENTRE_READINGS, COLUMNS, KNOWN_VALUES, MIN_SAMPLES, Novelty

MONDAY_MS = 4 * 24 * HOUR_MS  # 1970-01-05


def batch(value: float, time_ms: int) -> Batch:
    zero = np.zeros(1, np.int64)
    return Batch(zero, np.array([time_ms]), np.array([value]), np.empty((1, 0)), zero, zero)


def taught(values: Floats, *, step_ms: int = 60_000) -> tuple[Novelty, Floats]:
    """Scores of values from a Monday on, each scored, then learnt."""
    novelty = Novelty(())
    novelty.grow(1)
    scores = []
    for row, value in enumerate(values):
        one = batch(value, MONDAY_MS + row * step_ms)
        scores.append(novelty.score(one)[0])
        novelty.learn(one)
    return novelty, np.array(scores)


def says(novelty: Novelty, value: float, time_ms: int) -> float:
    return float(novelty.score(batch(value, time_ms))[0])


def test_noise_is_no_news_and_an_outlier_is() -> None:
    values = np.random.default_rng(1).standard_normal(3_000)
    novelty, scores = taught(values)
    assert np.quantile(scores[500:], 0.999) < 3.5
    assert says(novelty, 8.0, MONDAY_MS + 3_000 * 60_000) > 5.0
    assert says(novelty, -8.0, MONDAY_MS + 3_000 * 60_000) > 5.0


def test_what_was_seen_before_is_less_new() -> None:
    values = np.random.default_rng(2).standard_normal(4_000)
    values[[2_000, 2_500, 3_000, 3_500]] = 9.0
    _, scores = taught(values)
    first, *others = scores[[2_000, 2_500, 3_000, 3_500]]
    assert first > max(others) + 1.0
    assert others[0] > others[-1]


def test_a_value_within_the_range_is_strange_where_none_ever_was() -> None:
    noise = np.random.default_rng(3)
    values = np.where(noise.random(3_000) < 0.5, 10.0, 20.0) + 0.1 * noise.standard_normal(3_000)
    novelty, _ = taught(values)
    now_ms = MONDAY_MS + 3_000 * 60_000
    assert says(novelty, 15.0, now_ms) > max(says(novelty, 10.0, now_ms), says(novelty, 20.0, now_ms)) + 1.0


def test_a_fall_is_strange_for_a_sensor_that_only_ever_rises_so_far() -> None:
    noise = np.random.default_rng(4)
    values = noise.standard_normal(3_000) + 20.0 * (noise.random(3_000) < 0.05)
    novelty, _ = taught(values)
    now_ms = MONDAY_MS + 3_000 * 60_000
    assert says(novelty, -18.0, now_ms) > says(novelty, 20.0, now_ms) + 2.0


def test_a_deviation_is_stranger_at_an_hour_that_is_quiet() -> None:
    minutes = np.arange(0, 14 * 1440, 5)
    size = np.where(minutes // 60 % 24 < 12, 0.2, 4.0)
    novelty, _ = taught(size * np.random.default_rng(5).standard_normal(len(minutes)), step_ms=300_000)
    quiet, noisy = (says(novelty, 4.0, MONDAY_MS + 14 * 24 * HOUR_MS + hour * HOUR_MS) for hour in (6, 18))
    assert quiet > noisy + 0.5


def test_a_shift_within_the_noise_is_seen_after_some_readings() -> None:
    values = np.random.default_rng(6).standard_normal(4_000)
    values[3_000:] += 2.0
    _, scores = taught(values)
    assert scores[3_000:3_030].max() > scores[500:3_000].max()


def test_a_constant_is_no_news_and_its_first_change_is() -> None:
    novelty, scores = taught(np.full(500, 7.0))
    assert np.nanmax(scores) < 0.1
    now_ms = MONDAY_MS + 500 * 60_000
    assert says(novelty, 7.5, now_ms) > 2.0
    assert says(novelty, 7.0, now_ms) < 0.1


def test_unknown_until_the_past_is_known() -> None:
    _, scores = taught(np.random.default_rng(7).standard_normal(300))
    known = np.flatnonzero(~np.isnan(scores))
    assert MIN_SAMPLES < known[0] <= CENTRE_READINGS + KNOWN_VALUES
    assert len(known) == 300 - known[0]


@pytest.mark.parametrize("largest", [1e-300, 1e300])
def test_scores_stay_finite(largest: float) -> None:
    values = np.random.default_rng(8).standard_normal(400)
    values[[100, 250, 300]] = largest, -largest, 0.0
    _, scores = taught(np.append(values, np.sign(values[:200]) * largest))
    assert np.isfinite(scores[150:]).all()


def test_goes_on_from_its_state_bit_for_bit_and_forgets() -> None:
    values = np.random.default_rng(9).standard_normal(400)
    novelty, _ = taught(values)
    again = Novelty(())
    again.load(novelty.state())
    for row, value in enumerate((0.5, 4.0, -9.0)):
        one = batch(value, MONDAY_MS + (400 + row) * 60_000)
        assert again.score(one)[0] == novelty.score(one)[0]
        again.learn(one)
        novelty.learn(one)
    again.reset(np.array([0]))
    assert math.isnan(says(again, 0.5, MONDAY_MS))
    with pytest.raises(ValueError, match="version"):
        again.load(novelty.state() | {"version": 0})


def test_scoring_changes_nothing_and_sensors_in_one_batch_do_not_matter_to_each_other() -> None:
    values = np.random.default_rng(10).standard_normal((150, 3))
    slots, together = np.array([2, 0, 1]), Novelty(())
    together.grow(3)
    scores = []
    for row, some in enumerate(values):
        times = np.full(3, MONDAY_MS + row * 60_000)
        one = Batch(slots, times, some, np.empty((3, 0)), np.zeros(3, np.int64), np.arange(3))
        before = pickle.dumps(together.state())
        scores.append(together.score(one))
        assert pickle.dumps(together.state()) == before
        together.learn(one)
    for place in range(3):
        np.testing.assert_array_equal(taught(values[:, place])[1], np.array(scores)[:, place])


def test_memory_is_what_it_is_said_to_be() -> None:
    novelty = Novelty(())
    novelty.grow(1_000)
    assert BINS == 65
    assert COLUMNS == 7
    assert novelty.nbytes / 1_000 == pytest.approx(2_200, rel=0.1)
