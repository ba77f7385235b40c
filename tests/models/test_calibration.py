"""Tail surprise against the true tail of known distributions, and its edges."""

import math
import pickle

import numpy as np
import pytest

from models.calibration import FIRST, HORIZON, MAX_SURPRISE, WARM_UP, TailSurprise
from models.detector import Floats

ONE = np.zeros(1, np.int64)


def taught(scores: Floats, *, columns: int = 1) -> TailSurprise:
    calibration = TailSurprise(columns)
    calibration.grow(1)
    for score in scores:
        calibration.learn(ONE, np.full((1, columns), score))
    return calibration


def surprise(calibration: TailSurprise, score: float) -> float:
    return float(calibration.surprise(ONE, np.array([[score]]))[0, 0])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e7])
def test_is_minus_log10_of_the_tail_probability(scale: float) -> None:
    calibration = taught(scale * np.random.default_rng(1).exponential(size=20_000))
    for expected in (0.1, 0.5, 1.0, 2.0, 3.0):
        assert surprise(calibration, scale * expected * math.log(10)) == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize("seed", range(3))
def test_goes_on_rising_beyond_all_of_the_past(seed: int) -> None:
    past = np.abs(np.random.default_rng(seed).standard_normal(5_000))
    calibration = taught(past)
    beyond = [surprise(calibration, past.max() * factor) for factor in (1.0, 1.3, 2.0, 4.0, 30.0)]
    assert 3.0 < beyond[0] < 5.0
    assert (np.diff(beyond) > 0.1).all() or beyond[-1] == MAX_SURPRISE
    assert beyond[2] > 5.5


def test_what_was_seen_often_is_not_as_rare_as_the_tail_says() -> None:
    rng = np.random.default_rng(2)
    spikes = taught(np.where(rng.random(5_000) < 0.004, 1_000.0, rng.exponential(size=5_000)))
    assert surprise(spikes, 1_000.0) < 3.0
    assert surprise(spikes, 900.0) < 3.0


def test_unknown_until_unit_and_warm_up_are_learnt() -> None:
    calibration = taught(np.linspace(1, 2, FIRST + WARM_UP - 1))
    assert math.isnan(surprise(calibration, 1.0))
    calibration.learn(ONE, np.array([[1.5]]))
    assert not math.isnan(surprise(calibration, 1.0))
    assert math.isnan(surprise(calibration, math.nan))


def test_after_nothing_but_zeros_the_first_other_score_is_as_rare_as_it_was() -> None:
    calibration = taught(np.zeros(1_000))
    assert surprise(calibration, 0.0) < 0.1
    assert surprise(calibration, 1e-9) == pytest.approx(math.log10(2 * (1_000 - FIRST)), abs=0.1)
    calibration.learn(ONE, np.array([[5.0]]))
    assert surprise(calibration, 5.0) < math.log10(2 * (1_000 - FIRST)) - 0.2


def test_scores_below_zero_count_as_zero() -> None:
    calibration = taught(np.linspace(-1, 1, 500))
    assert surprise(calibration, -3.0) == surprise(calibration, 0.0) < 0.4


def test_the_past_fades() -> None:
    calibration = taught(np.concatenate([np.full(200, 8.0), np.full(FIRST + WARM_UP, 1.0)]))
    before = surprise(calibration, 8.0)
    for _ in range(4 * HORIZON):
        calibration.learn(ONE, np.array([[1.0]]))
    assert before < 0.5
    assert surprise(calibration, 8.0) > 3.0


def test_columns_and_sensors_are_apart_and_can_be_forgotten_apart() -> None:
    calibration = TailSurprise(2)
    calibration.grow(3)
    rng = np.random.default_rng(4)
    for _ in range(200):
        calibration.learn(np.array([0, 2]), rng.exponential(size=(2, 2)) * [[1.0, 100.0], [10.0, 1.0]])
    slots, probe = np.arange(3), np.full((3, 2), 12.0)
    found = calibration.surprise(slots, probe)
    assert min(found[0, 0], found[2, 1]) > 3
    assert found[0, 1] < 0.2
    assert found[2, 0] < 1.5
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(calibration.surprise(slots, probe[:, 1:], first=1), found[:, 1:])
    calibration.reset_column(1)
    np.testing.assert_array_equal(calibration.surprise(slots, probe)[:, 0], found[:, 0])
    assert np.isnan(calibration.surprise(slots, probe)[:, 1]).all()
    calibration.reset(np.array([0]))
    assert np.isnan(calibration.surprise(slots, probe)[0]).all()
    assert calibration.surprise(slots, probe)[2, 0] == found[2, 0]


def test_goes_on_from_its_state_and_refuses_another_number_of_columns() -> None:
    calibration = taught(np.random.default_rng(5).exponential(size=300), columns=2)
    restored = TailSurprise(2)
    restored.load(pickle.loads(pickle.dumps(calibration.state())))
    restored.grow(2)
    for score in (0.1, 1.0, 50.0):
        for one in (calibration, restored):
            one.learn(ONE, np.full((1, 2), score))
        probe = np.array([[score, 3.0]])
        np.testing.assert_array_equal(restored.surprise(ONE, probe), calibration.surprise(ONE, probe))
    with pytest.raises(ValueError, match="columns = 2"):
        TailSurprise(3).load(calibration.state())


def test_costs_little_memory() -> None:
    calibration = TailSurprise(8)
    calibration.grow(1000)
    assert calibration.nbytes / 1000 <= 1_500


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e150])
def test_extreme_units_give_numbers(scale: float) -> None:
    calibration = taught(scale * np.arange(1.0, 200.0))
    for score in (0.0, scale, 1e150, 5e-324):
        assert 0.0 <= surprise(calibration, score) <= MAX_SURPRISE
