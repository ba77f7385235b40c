"""Surprise and novelty against the true tails of known distributions, and their edges."""

import math
import pickle

import numpy as np
import pytest

from models.calibration import FIRST, HORIZON, MAX_NOVELTY, MAX_SURPRISE, WARM_UP, Calibration
from models.detector import Floats

ONE = np.zeros(1, np.int64)


def taught(scores: Floats, *, columns: int = 1) -> Calibration:
    calibration = Calibration(["both"] * columns)
    calibration.grow(1)
    for score in scores:
        calibration.learn(ONE, np.full((1, columns), score))
    return calibration


def surprise(calibration: Calibration, score: float) -> float:
    return float(calibration.calibrate(ONE, np.array([[score]]))[1][0, 0])


def novelty(calibration: Calibration, score: float) -> float:
    return float(calibration.calibrate(ONE, np.array([[score]]))[0][0, 0])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e7])
def test_both_are_minus_log10_of_the_tail_probability(scale: float) -> None:
    calibration = taught(scale * np.random.default_rng(1).exponential(size=20_000))
    for expected in (0.5, 1.0, 2.0, 3.0):
        assert novelty(calibration, scale * expected * math.log(10)) == pytest.approx(expected, abs=0.12)
        assert surprise(calibration, scale * expected * math.log(10)) == pytest.approx(expected, abs=0.15)


def test_surprise_follows_the_tail_of_normal_residuals() -> None:
    calibration = taught(np.abs(np.random.default_rng(1).standard_normal(20_000)))
    for deviations in (2.0, 4.0, 6.0):
        expected = -math.log10(math.erfc(deviations / math.sqrt(2)))
        assert surprise(calibration, deviations) == pytest.approx(expected, rel=0.4)


def test_faults_in_the_past_do_not_make_the_next_one_expected() -> None:
    rng = np.random.default_rng(2)
    clean = np.abs(rng.standard_normal(10_000))
    with_faults = np.where(rng.random(10_000) < 0.06, clean + 30.0, clean)
    assert surprise(taught(with_faults), 30.0) == MAX_SURPRISE
    assert 0.5 < surprise(taught(with_faults), 3.0) / surprise(taught(clean), 3.0) <= 1.0
    assert novelty(taught(with_faults), 30.0) < 1.5


@pytest.mark.parametrize("seed", range(3))
def test_goes_on_rising_beyond_all_of_the_past(seed: int) -> None:
    past = np.abs(np.random.default_rng(seed).standard_normal(5_000))
    calibration = taught(past)
    beyond = [novelty(calibration, past.max() * factor) for factor in (1.0, 1.3, 2.0, 4.0, 30.0)]
    assert 3.0 < beyond[0] < 5.0
    assert (np.diff(beyond) > 0.1).all() or beyond[-1] == MAX_NOVELTY
    assert beyond[2] > 5.5


def test_what_was_seen_often_is_not_as_rare_as_the_tail_says() -> None:
    rng = np.random.default_rng(2)
    spikes = taught(np.where(rng.random(5_000) < 0.004, 1_000.0, rng.exponential(size=5_000)))
    assert novelty(spikes, 1_000.0) < 3.0
    assert novelty(spikes, 900.0) < 3.0


def test_unknown_until_unit_and_warm_up_are_learnt() -> None:
    calibration = taught(np.linspace(1, 2, FIRST + WARM_UP - 1))
    assert math.isnan(surprise(calibration, 1.0))
    calibration.learn(ONE, np.array([[1.5]]))
    assert not math.isnan(surprise(calibration, 1.0))
    assert math.isnan(surprise(calibration, math.nan))


def test_after_nothing_but_zeros_the_first_other_score_is_as_rare_as_it_was() -> None:
    calibration = taught(np.zeros(1_000))
    assert novelty(calibration, 0.0) < 0.1
    assert surprise(calibration, 0.0) == 0.0
    assert novelty(calibration, 1e-9) == pytest.approx(math.log10(2 * (1_000 - FIRST)), abs=0.1)
    assert surprise(calibration, 1e-9) == MAX_SURPRISE
    calibration.learn(ONE, np.array([[5.0]]))
    assert novelty(calibration, 5.0) < math.log10(2 * (1_000 - FIRST)) - 0.2


def test_scores_below_zero_count_as_zero() -> None:
    calibration = taught(np.linspace(-1, 1, 500))
    assert novelty(calibration, -3.0) == novelty(calibration, 0.0) < 0.4


def test_the_past_fades() -> None:
    calibration = taught(np.concatenate([np.full(200, 8.0), np.full(FIRST + WARM_UP, 1.0)]))
    before = novelty(calibration, 8.0)
    for _ in range(4 * HORIZON):
        calibration.learn(ONE, np.array([[1.0]]))
    assert before < 0.5
    assert novelty(calibration, 8.0) > 3.0


def test_columns_and_sensors_are_apart_and_can_be_forgotten_apart() -> None:
    calibration = Calibration(["both"] * 2)
    calibration.grow(3)
    rng = np.random.default_rng(4)
    for _ in range(200):
        calibration.learn(np.array([0, 2]), rng.exponential(size=(2, 2)) * [[1.0, 100.0], [10.0, 1.0]])
    slots, probe = np.arange(3), np.full((3, 2), 12.0)
    before, found = calibration.calibrate(slots, probe)
    assert min(found[0, 0], found[2, 1]) > 3
    assert found[0, 1] < 0.5
    assert found[2, 0] < 1.5
    assert np.isnan(found[1]).all()
    calibration.reset_column(1)
    after, found = calibration.calibrate(slots, probe)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert np.isnan(after[:, 1]).all()
    calibration.reset(np.array([0]))
    after, found = calibration.calibrate(slots, probe)
    assert np.isnan(found[0]).all()
    assert np.isnan(after[0]).all()
    assert after[2, 0] == before[2, 0]


def test_goes_on_from_its_state() -> None:
    calibration = taught(np.random.default_rng(5).exponential(size=300), columns=2)
    restored = Calibration(["both"] * 2)
    restored.load(pickle.loads(pickle.dumps(calibration.state())))
    restored.grow(2)
    for score in (0.1, 1.0, 50.0):
        for one in (calibration, restored):
            one.learn(ONE, np.full((1, 2), score))
        probe = np.array([[score, 3.0]])
        np.testing.assert_array_equal(restored.calibrate(ONE, probe), calibration.calibrate(ONE, probe))


def test_columns_go_on_wherever_they_stand_now_and_new_ones_start_fresh() -> None:
    rng = np.random.default_rng(8)
    calibration = Calibration(["both", "none", "both"])
    calibration.grow(1)
    for raw in rng.exponential(size=(300, 1, 3)) * [1.0, 1.0, 10.0]:
        calibration.learn(ONE, raw)
    moved = Calibration(["both", "both", "none", "both"])
    moved.load(calibration.state(), was=[2, None, 0, 1])
    before, after = calibration.calibrate(ONE, np.full((1, 3), 7.0)), moved.calibrate(ONE, np.full((1, 4), 7.0))
    for then, now in zip(before, after, strict=True):
        assert now[0, 0] == then[0, 2], "it has moved"
        assert np.isnan(now[0, 1]), "it is new"
        assert now[0, 2] == 7.0, "it was calibrated and is not any more"
        assert np.isnan(now[0, 3]), "it was not calibrated and is now"


def test_what_is_a_chance_already_is_taken_as_it_is_up_to_a_limit_and_takes_no_memory() -> None:
    calibration = Calibration(["none", "none"])
    calibration.grow(3)
    for found in calibration.calibrate(np.array([0, 2]), np.array([[0.3, 1e9], [np.nan, 2.0]])):
        np.testing.assert_array_equal(found, [[0.3, MAX_NOVELTY], [np.nan, 2.0]])
    assert calibration.nbytes == 0


def test_what_is_not_wanted_is_not_told_and_changes_nothing_else() -> None:
    scores = np.random.default_rng(9).exponential(size=300)
    every, some = Calibration(["both", "both"]), Calibration(["novelty", "surprise"])
    for one in (every, some):
        one.grow(1)
        for score in scores:
            one.learn(ONE, np.full((1, 2), score))
    probe = np.full((1, 2), 4.0)
    (novelty_of, surprise_of), (all_novelty, all_surprise) = some.calibrate(ONE, probe), every.calibrate(ONE, probe)
    np.testing.assert_array_equal(novelty_of, [[all_novelty[0, 0], np.nan]])
    np.testing.assert_array_equal(surprise_of, [[np.nan, all_surprise[0, 1]]])


def test_costs_little_memory() -> None:
    calibration = Calibration(["both"] * 8)
    calibration.grow(1000)
    assert calibration.nbytes / 1000 <= 1_500


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e150])
def test_extreme_units_give_numbers(scale: float) -> None:
    calibration = taught(scale * np.arange(1.0, 200.0))
    for score in (0.0, scale, 1e150, 5e-324):
        assert 0.0 <= surprise(calibration, score) <= MAX_SURPRISE
        assert 0.0 <= novelty(calibration, score) <= MAX_NOVELTY
