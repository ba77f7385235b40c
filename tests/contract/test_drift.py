"""What every drift detector promises, whatever it is made of. A new one is a line in KINDS."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.catalog import build_drift
from models.detector import Floats
from models.drift import DriftDetector, Flags

SENSORS = 4

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "PageHinkley": ("river.drift.PageHinkley", {"threshold": 20.0}),
    "River's PageHinkley": ("models.river_drift.RiverDrift", {"kind": "river.drift.PageHinkley"}),
    "ADWIN": ("river.drift.ADWIN", {}),
    "KSWIN": ("river.drift.KSWIN", {"window_size": 40, "stat_size": 15}),
}

Make = Callable[[], DriftDetector]


@pytest.fixture(params=list(KINDS))
def make(request: pytest.FixtureRequest) -> Make:
    kind, params = KINDS[request.param]

    def fresh() -> DriftDetector:
        detector = build_drift(kind, params)
        detector.grow(SENSORS)
        return detector

    return fresh


def values_of(row: int) -> Floats:
    """One value of each sensor; the first three change for good at row 100."""
    shift: Floats = np.array([8.0, -8.0, 8.0, 0.0])
    return np.random.default_rng(row).normal(shift if row >= 100 else 0.0, 1.0, SENSORS)


def run(detector: DriftDetector, rows: range, slots: list[int] | None = None) -> Flags:
    """(rows, slots) whether a drift was found."""
    chosen = np.arange(SENSORS) if slots is None else np.array(slots, np.int64)
    return np.array([detector.update(chosen, values_of(row)[chosen]) for row in rows])


def copied(detector: DriftDetector) -> dict[str, object]:
    state: dict[str, object] = pickle.loads(pickle.dumps(detector.state()))
    return state


def test_is_a_drift_detector_that_finds_a_change_soon_and_once(make: Make) -> None:
    detector = make()
    assert isinstance(detector, DriftDetector)
    drifted = run(detector, range(200))
    assert drifted.dtype == np.bool_
    assert not drifted[:40].any(), "nothing has changed"
    assert drifted[100:140, :3].any(axis=0).all(), "found within 40 values"
    assert drifted[:, :3].sum(axis=0).max() <= 4, "not told again and again"


def test_two_runs_agree(make: Make) -> None:
    np.testing.assert_array_equal(run(make(), range(200)), run(make(), range(200)))


def test_a_batch_equals_its_values_one_by_one_in_any_order(make: Make) -> None:
    expected = run(make(), range(150))
    alone = make()
    for row in range(150):
        for slot in (2, 0, 3, 1):
            assert alone.update(np.array([slot]), values_of(row)[[slot]])[0] == expected[row, slot]


def test_sensors_do_not_touch_each_other(make: Make) -> None:
    crowd = make()
    run(crowd, range(90), [0, 2])
    np.testing.assert_array_equal(run(crowd, range(150), [1]), run(make(), range(150), [1]))


def test_goes_on_from_its_state_to_the_bit(make: Make) -> None:
    for until in (0, 50, 103, 130):
        detector, restored = make(), make()
        run(detector, range(until))
        state = detector.state()
        before = pickle.dumps(state)
        restored.load(copied(detector))
        np.testing.assert_array_equal(run(restored, range(until, 200)), run(detector, range(until, 200)))
        assert pickle.dumps(state) == before, "a state is a copy"


def test_a_state_is_plain_and_versioned(make: Make) -> None:
    state = make().state()
    assert isinstance(state["version"], int)
    assert all(isinstance(value, (int, float, str, bytes, dict, tuple, list, np.ndarray)) for value in state.values())
    with pytest.raises(ValueError, match=r"the state was made with version = 'other'.*start it afresh"):
        make().load({**state, "version": "other"})


def test_growing_keeps_what_was_seen_also_when_restored(make: Make) -> None:
    expected = run(make(), range(150))
    detector, restored = make(), make()
    run(detector, range(95))
    restored.load(copied(detector))
    for one in (detector, restored):
        one.grow(SENSORS + 50)
        one.update(np.array([SENSORS + 49]), np.array([0.5]))
        np.testing.assert_array_equal(run(one, range(95, 150)), expected[95:])


def test_reset_starts_a_sensor_afresh_and_only_that(make: Make) -> None:
    detector, other = make(), make()
    run(detector, range(95))
    run(other, range(95))
    detector.reset(np.array([1, 3]))
    np.testing.assert_array_equal(run(detector, range(95, 150), [0, 2]), run(other, range(95, 150), [0, 2]))
    np.testing.assert_array_equal(run(detector, range(150), [1]), run(make(), range(150), [1]))


def test_slots_that_were_not_announced_are_an_error(make: Make) -> None:
    for slot in (SENSORS, -1):
        with pytest.raises(IndexError, match=r"call grow\(\) first"):
            make().update(np.array([slot]), np.array([0.5]))


def test_no_values_and_nan_are_nothing(make: Make) -> None:
    detector = make()
    run(detector, range(50))
    before = pickle.dumps(detector.state())
    assert detector.update(np.zeros(0, np.int64), np.zeros(0)).shape == (0,)
    assert not detector.update(np.arange(SENSORS), np.full(SENSORS, np.nan)).any()
    assert pickle.dumps(detector.state()) == before


def test_a_constant_never_drifts_and_its_jump_does(make: Make) -> None:
    detector = make()
    slot = np.array([0])
    assert not any(detector.update(slot, np.array([0.5]))[0] for _ in range(300))
    assert any(detector.update(slot, np.array([9.5]))[0] for _ in range(100))


@pytest.mark.parametrize("extreme", [1.7e308, -1.7e308, 5e-324, np.inf])
def test_extreme_values_raise_nothing_and_are_forgotten_by_a_reset(make: Make, extreme: float) -> None:
    detector = make()
    run(detector, range(60))
    for row in range(60):
        detector.update(np.arange(SENSORS), np.full(SENSORS, extreme if row % 2 else -extreme))
    detector.reset(np.arange(SENSORS))
    np.testing.assert_array_equal(run(detector, range(150)), run(make(), range(150)))


def test_reports_its_bytes_and_they_are_bounded(make: Make) -> None:
    detector = make()
    run(detector, range(150))
    settled = detector.nbytes
    assert 0 < settled < 100_000
    run(detector, range(150, 500))
    assert detector.nbytes < 4 * settled
