"""What every detector promises, whatever it is made of. A new one is a line in KINDS."""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from models.catalog import build
from models.detector import Batch, Detector, Floats, Scheduled, Slots
from tests.models.tflite_files import small

FEATURES = ("value", "delta", "hour")
SENSORS = 4
ROWS = 120

TREES = {"n_trees": 3, "height": 4, "window_size": 20, "seed": 7}
SCALED_TREES = {
    "steps": [
        {"kind": "river.preprocessing.MinMaxScaler"},
        {"kind": "river.anomaly.HalfSpaceTrees", "params": {"n_trees": 3, "height": 4, "window_size": 20}},
    ]
}
GAUSSIAN = {"kind": "river.anomaly.GaussianScorer", "params": {"grace_period": 10}}
FOREST = {"window": 60, "min_rows": 20, "new_rows": 1, "max_samples": 16, "n_estimators": 10}
FOREST |= {"every_ms": 10_000, "delay_ms": 2_000}
FORECAST = {"kind": "river.time_series.HoltWinters", "params": {"alpha": 0.3}}


def by_the_adapter(kind: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """River itself, also where `build` would take its compiled twin."""
    return "models.river_adapter.RiverDetector", {"kind": kind, "params": params}


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RollingZ": ("models.rolling_z.RollingZ", {"window": 30, "min_samples": 10}),
    "HalfSpaceTrees": ("models.half_space_trees.HalfSpaceTrees", TREES),
    "Deviation": ("models.deviation.Deviation", {"long": 20}),
    "Flatness": ("models.flatness.Flatness", {}),
    "level shift Deviation": ("models.deviation.Deviation", {"long": 100, "short": 8}),
    "SeasonalForecast": ("models.forecast.SeasonalForecast", {"level": 30}),
    "Novelty": ("models.novelty.Novelty", {}),
    "GaussianScorer": ("models.gaussian.GaussianScorer", {"grace_period": 10}),
    "windowed GaussianScorer": ("models.gaussian.GaussianScorer", {"grace_period": 10, "window_size": 15}),
    "StandardAbsoluteDeviation": ("models.absolute_deviation.StandardAbsoluteDeviation", {"warm_up": 10}),
    "River's GaussianScorer": by_the_adapter("river.anomaly.GaussianScorer", {"grace_period": 10}),
    "River's windowed GaussianScorer": by_the_adapter(
        "river.anomaly.GaussianScorer", {"grace_period": 10, "window_size": 15}
    ),
    "River's StandardAbsoluteDeviation": by_the_adapter("river.anomaly.StandardAbsoluteDeviation", {}),
    "River's HalfSpaceTrees": by_the_adapter("river.anomaly.HalfSpaceTrees", TREES),
    "OneClassSVM": ("river.anomaly.OneClassSVM", {"nu": 0.2}),
    "LODA": ("river.anomaly.LODA", {"n_random_cuts": 5}),
    "LocalOutlierFactor": ("river.anomaly.LocalOutlierFactor", {"n_neighbors": 3}),
    "PredictiveAnomalyDetection": ("river.anomaly.PredictiveAnomalyDetection", {"warmup_period": 10}),
    "forecasting": ("river.anomaly.PredictiveAnomalyDetection", {"predictive_model": FORECAST, "warm_up": 10}),
    "QuantileFilter": ("river.anomaly.QuantileFilter", {"anomaly_detector": GAUSSIAN, "q": 0.95}),
    "ThresholdFilter": ("river.anomaly.ThresholdFilter", {"anomaly_detector": GAUSSIAN, "threshold": 0.99}),
    "scaled HalfSpaceTrees": ("river.compose.Pipeline", SCALED_TREES),
    "IsolationForest": ("models.isolation_forest.IsolationForest", FOREST),
    "TFLite": ("models.tflite.TFLite", {"manifest": small()}),
}

SHARED = {"IsolationForest"}
"""Sensors of a type share a model: one that is forgotten does not start afresh with it."""
COMPLETE = {"IsolationForest", "TFLite"}
"""They know nothing of a reading that lacks a feature."""

Make = Callable[[], Detector]


@pytest.fixture(params=list(KINDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Make:
    kind, params = KINDS[name]

    def fresh() -> Detector:
        detector = build(kind, FEATURES, params)
        detector.grow(SENSORS)
        return detector

    return fresh


def readings(row: int, slots: list[int], *, values: Floats | None = None) -> Batch:
    """Reading number `row` of some sensors, the same whichever sensors are asked for."""
    if values is None:
        values = np.random.default_rng(row).uniform(0, 1, SENSORS)[slots]
    delta = np.random.default_rng([1, row]).uniform(0, 1, SENSORS)[slots]
    features = np.column_stack([values, delta, np.full(len(slots), row % 24 / 24)])
    return batch_of(slots, values, features, row=row)


def batch_of(slots: Sequence[int] | Slots, values: Floats, features: Floats, *, row: int = 0) -> Batch:
    """One reading of each slot; sensors of even and odd slots are of different types."""
    numbers = np.array(slots, np.int64)
    times = np.full(len(numbers), row * 1000, np.int64)
    return Batch(numbers, times, values, features, numbers % 2, row * SENSORS + numbers)


def run(detector: Detector, rows: range, slots: list[int] | None = None) -> Floats:
    """Scores of the rows, (rows, slots), each scored and then learnt."""
    scores = []
    for row in rows:
        advance(detector, row)
        batch = readings(row, list(range(SENSORS)) if slots is None else slots)
        scores.append(detector.score(batch))
        detector.learn(batch)
    return np.array(scores)


def advance(detector: Detector, row: int) -> None:
    """The event time reaches that of reading number `row`, as in a flow."""
    if isinstance(detector, Scheduled) and row * 1000 % detector.step_ms == 0:
        detector.advance(row * 1000)


def copied(detector: Detector) -> dict[str, object]:
    state: dict[str, object] = pickle.loads(pickle.dumps(detector.state()))
    return state


def test_is_a_detector_that_is_unknown_at_first_and_known_later(make: Make) -> None:
    detector = make()
    assert isinstance(detector, Detector)
    scores = run(detector, range(ROWS))
    assert scores.dtype == np.float64
    assert np.isnan(scores[:2]).all(), "before the warm-up"
    assert np.isfinite(scores[-30:]).all(), "after the warm-up"
    first = np.isfinite(scores).argmax(axis=0)
    assert all(np.isfinite(column[row:]).all() for column, row in zip(scores.T, first, strict=True)), "known for good"


def test_scoring_changes_nothing(make: Make) -> None:
    detector = make()
    for row in range(40):
        advance(detector, row)
        batch = readings(row, [0, 1, 2, 3])
        before = pickle.dumps(detector.state())
        scores = detector.score(batch)
        np.testing.assert_array_equal(detector.score(batch), scores)
        assert pickle.dumps(detector.state()) == before
        detector.learn(batch)
        assert pickle.dumps(detector.state()) != before


def test_scores_before_it_learns_and_never_looks_ahead(make: Make) -> None:
    """What follows a row, or the row itself, cannot change its score."""
    one, other = make(), make()
    run(one, range(50))
    run(other, range(50))
    strange = readings(50, [0, 1, 2, 3], values=np.full(SENSORS, 30.0))
    scores = one.score(strange)
    np.testing.assert_array_equal(other.score(strange), scores)
    one.learn(strange)
    np.testing.assert_array_equal(other.score(strange), scores)


def test_two_runs_agree_to_the_bit(make: Make) -> None:
    np.testing.assert_array_equal(run(make(), range(ROWS)), run(make(), range(ROWS)))


def test_a_batch_equals_its_rows_one_by_one_in_any_order(make: Make) -> None:
    together, alone = make(), make()
    expected = run(together, range(60))
    for row in range(60):
        advance(alone, row)
        for slot in (2, 0, 3, 1):
            single = readings(row, [slot])
            assert alone.score(single)[0] == pytest.approx(expected[row, slot], rel=0, abs=0, nan_ok=True)
            alone.learn(single)


def test_sensors_do_not_touch_each_other(make: Make) -> None:
    crowd = make()
    run(crowd, range(40), [0, 2])
    np.testing.assert_array_equal(run(crowd, range(40, 100), [1]), run(make(), range(40, 100), [1]))


def test_goes_on_from_its_state_to_the_bit(make: Make) -> None:
    detector, restored = make(), make()
    for until in (0, 5, 50):
        run(detector, range(until))
        restored.load(copied(detector))
        ahead = run(detector, range(until, until + 30))
        np.testing.assert_array_equal(run(restored, range(until, until + 30)), ahead)
        detector, restored = make(), make()


def test_a_state_is_a_copy(make: Make) -> None:
    detector = make()
    run(detector, range(30))
    state = detector.state()
    before = pickle.dumps(state)
    run(detector, range(30, 40))
    assert pickle.dumps(state) == before
    restored = make()
    restored.load(state)
    run(restored, range(30, 40))
    assert pickle.dumps(state) == before, "nor is it used up by loading it"


def test_a_state_is_plain_and_versioned(make: Make) -> None:
    state = make().state()
    assert isinstance(state["version"], int)
    assert all(isinstance(value, (int, float, str, bytes, dict, tuple, list, np.ndarray)) for value in state.values())
    with pytest.raises(ValueError, match=r"the state was made with version = 'other'.*start it afresh"):
        make().load({**state, "version": "other"})


def test_growing_keeps_what_was_learnt(make: Make) -> None:
    steady, growing = make(), make()
    expected = run(steady, range(60))
    np.testing.assert_array_equal(run(growing, range(30)), expected[:30])
    growing.grow(SENSORS + 100)
    np.testing.assert_array_equal(run(growing, range(30, 60)), expected[30:])
    assert np.isnan(growing.score(new_sensor(SENSORS + 99))[0])


def test_a_restored_detector_grows(make: Make) -> None:
    detector, restored = make(), make()
    run(detector, range(30))
    restored.load(copied(detector))
    restored.grow(SENSORS + 1)
    assert np.isnan(restored.score(new_sensor(SENSORS))[0])
    restored.learn(new_sensor(SENSORS))
    np.testing.assert_array_equal(run(restored, range(30, 40)), run(detector, range(30, 40)))


def new_sensor(slot: int) -> Batch:
    """Of a type that was not there before."""
    batch = batch_of([slot], np.array([0.5]), np.full((1, len(FEATURES)), 0.5))
    batch.groups[:] = 2
    return batch


def test_reset_starts_a_sensor_afresh_and_only_that(make: Make, name: str) -> None:
    detector, other = make(), make()
    run(detector, range(50))
    run(other, range(50))
    detector.reset(np.array([1, 3], np.int64))
    if name not in SHARED:
        assert np.isnan(detector.score(readings(50, [1, 3]))).all()
    np.testing.assert_array_equal(run(detector, range(50, 60), [0, 2]), run(other, range(50, 60), [0, 2]))
    if name not in SHARED:
        np.testing.assert_array_equal(run(detector, range(60), [3]), run(make(), range(60), [3]))


def test_slots_that_were_not_announced_are_an_error(make: Make) -> None:
    detector = make()
    for slot in (SENSORS, -1):
        with pytest.raises(IndexError, match=r"call grow\(\) first"):
            detector.score(new_sensor(slot))
        with pytest.raises(IndexError, match=r"call grow\(\) first"):
            detector.learn(new_sensor(slot))


def test_an_empty_batch_is_nothing(make: Make) -> None:
    detector = make()
    run(detector, range(30))
    before = pickle.dumps(detector.state())
    assert detector.score(readings(30, [])).shape == (0,)
    detector.learn(readings(30, []))
    assert pickle.dumps(detector.state()) == before


def test_reports_its_bytes_and_they_are_bounded(make: Make) -> None:
    detector = make()
    run(detector, range(60))
    settled = detector.nbytes
    assert 0 < settled < 4_000_000
    run(detector, range(60, 300), [0])
    assert detector.nbytes < 8 * settled


def test_missing_features_raise_nothing(make: Make, name: str) -> None:
    detector = make()
    scores = np.zeros(0)
    for row in range(ROWS):
        advance(detector, row)
        batch = readings(row, [0, 1, 2, 3])
        batch.features[0] = np.nan  # a sensor without any
        batch.features[1, 1] = np.nan  # one that never has a delta
        if row < ROWS - 1:
            batch.features[2, row % 3] = np.nan
        scores = detector.score(batch)
        detector.learn(batch)
    assert np.isfinite(scores[3 if name in COMPLETE else 1 :]).all()


def test_ties_and_constant_input_are_nothing_strange(make: Make) -> None:
    """Equal values, again and again, never score higher than a value far away."""
    detector = make()
    same = np.full(SENSORS, 0.5)
    batch = batch_of(range(SENSORS), same, np.full((SENSORS, 3), 0.5))
    for row in range(60):
        advance(detector, row)
        batch = batch_of(range(SENSORS), same, np.full((SENSORS, 3), 0.5), row=row)
        score = detector.score(batch)
        assert (score[0] == score).all() or np.isnan(score).all(), "equal sensors have equal scores"
        detector.learn(batch)
    far = detector.score(batch_of(range(SENSORS), same + 1e6, np.full((SENSORS, 3), 1e6)))
    assert not (detector.score(batch) > far).any()


@pytest.mark.parametrize("extreme", [1.7e308, -1.7e308, 5e-324, 1e150, 0.0])
def test_extreme_finite_values_raise_nothing_and_recover_after_a_reset(make: Make, name: str, extreme: float) -> None:
    detector = make()
    run(detector, range(30))
    for row in range(30, 60):
        advance(detector, row)
        values = np.full(SENSORS, extreme if row % 2 else -extreme)
        batch = readings(row, [0, 1, 2, 3], values=values)
        batch.features[:, 1] = extreme
        scores = detector.score(batch)
        assert not np.isinf(scores).any()
        detector.learn(batch)
    detector.reset(np.arange(SENSORS))
    if name not in SHARED:
        np.testing.assert_array_equal(run(detector, range(60)), run(make(), range(60)))
