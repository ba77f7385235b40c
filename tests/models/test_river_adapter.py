"""The adapter against River driven by hand, and each of its stated exceptions."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import anomaly, compose, preprocessing, stats

from models.detector import Batch
from models.importing import KindError
from models.river_adapter import MAX_INCOMPLETE_ROWS, RiverDetector
from operators.features import FEATURE_NAMES, Features

FEATURES = ("value", "delta")
GAUSSIAN: Any = anomaly.GaussianScorer  # River leaves it and HalfSpaceTrees untyped
TREES: Any = anomaly.HalfSpaceTrees
HST: dict[str, Any] = {"n_trees": 3, "height": 4, "window_size": 20}


def batch_of(rows: list[list[float]]) -> Batch:
    """One row per sensor; the value is the first feature."""
    features = np.array(rows, float)
    zeros = np.zeros(len(rows), np.int64)
    return Batch(np.arange(len(rows)), zeros, features[:, 0].copy(), features, zeros, np.arange(len(rows)))


def adapter(kind: str, params: dict[str, Any], *, warm_up: int | None = None, sensors: int = 1) -> RiverDetector:
    detector = RiverDetector(FEATURES, kind=kind, params=params, warm_up=warm_up)
    detector.grow(sensors)
    return detector


def stream(rows: int, sensors: int) -> list[list[list[float]]]:
    return np.random.default_rng(3).uniform(0, 1, (rows, sensors, 2)).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "params", "warm_up", "by_hand", "takes_value"),
    [
        ("GaussianScorer", {"grace_period": 5}, 5, lambda: GAUSSIAN(grace_period=5), True),
        (
            "GaussianScorer",
            {"grace_period": 5, "window_size": 7},
            5,
            lambda: GAUSSIAN(grace_period=5, window_size=7),
            True,
        ),
        (
            "StandardAbsoluteDeviation",
            {"sub_stat": {"kind": "river.stats.Quantile", "params": {"q": 0.5}}},
            20,
            lambda: anomaly.StandardAbsoluteDeviation(stats.Quantile(0.5)),
            True,
        ),
        ("HalfSpaceTrees", HST | {"seed": 5}, 20, lambda: TREES(**HST, seed=5), False),
        ("OneClassSVM", {"nu": 0.3}, 20, lambda: anomaly.OneClassSVM(nu=0.3), False),
        ("LODA", {"seed": 2}, 20, lambda: anomaly.LODA(seed=2), False),
        ("LocalOutlierFactor", {"n_neighbors": 3}, 20, lambda: anomaly.LocalOutlierFactor(3), False),
        (
            "PredictiveAnomalyDetection",
            {"warmup_period": 8},
            8,
            lambda: anomaly.PredictiveAnomalyDetection(warmup_period=8),
            True,
        ),
        (
            "QuantileFilter",
            {"q": 0.9, "anomaly_detector": {"kind": "river.anomaly.OneClassSVM"}},
            20,
            lambda: anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9),
            False,
        ),
    ],
)
def test_scores_are_rivers_own(
    kind: str, params: dict[str, Any], warm_up: int, by_hand: Callable[[], Any], takes_value: bool
) -> None:
    detector = adapter(f"river.anomaly.{kind}", params, sensors=2)
    models = [by_hand(), by_hand()]
    for row, sensors in enumerate(stream(80, 2)):
        expected = [math.nan, math.nan]
        for sensor, (value, delta) in enumerate(sensors):
            arguments = ({"value": value, "delta": delta}, value)[: 1 + takes_value]
            if row >= warm_up:
                expected[sensor] = models[sensor].score_one(*arguments)
            models[sensor].learn_one(*arguments)
        assert detector.score(batch_of(sensors)).tolist() == pytest.approx(expected, rel=0, abs=0, nan_ok=True), row
        detector.learn(batch_of(sensors))


def test_a_pipeline_is_written_as_nested_kinds() -> None:
    trees = {"kind": "river.anomaly.HalfSpaceTrees", "params": HST}
    params = {"steps": [{"kind": "river.preprocessing.MinMaxScaler"}, trees]}
    detector = adapter("river.compose.Pipeline", params)
    model = compose.Pipeline(preprocessing.MinMaxScaler(), TREES(**HST, seed=0))
    for row, sensors in enumerate(stream(60, 1)):
        x = dict(zip(FEATURES, sensors[0], strict=True))
        score = detector.score(batch_of(sensors))[0]
        if row < 20:
            assert math.isnan(score), "the trees' first window"
        else:
            assert score == model.score_one(x)
        detector.learn(batch_of(sensors))
        model.learn_one(x)


def test_scores_begin_after_the_warm_up_asked_for() -> None:
    detector = adapter("river.anomaly.StandardAbsoluteDeviation", {}, warm_up=3)
    known = []
    for sensors in stream(6, 1):
        known.append(bool(np.isfinite(detector.score(batch_of(sensors))[0])))
        detector.learn(batch_of(sensors))
    assert known == [False, False, False, True, True, True]


@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("value", [20.1, 0.0, -1e6])
def test_a_stuck_sensor_scores_0_and_its_jump_1(window: int | None, value: float) -> None:
    """River: 1 for every value, or a TypeError once a windowed variance comes out below 0."""
    detector = adapter("river.anomaly.GaussianScorer", {"grace_period": 10, "window_size": window})
    for ((a, b),) in stream(40, 1):
        detector.learn(batch_of([[value + a, b]] if window else [[value, b]]))
    for _ in range(60):
        detector.learn(batch_of([[value, 0.0]]))
    assert detector.score(batch_of([[value, 0.0]]))[0] == pytest.approx(0.0, abs=1e-5), "rounding of the window aside"
    assert detector.score(batch_of([[value + 5, 0.0]]))[0] == 1.0


def test_the_first_row_learnt_is_a_whole_one() -> None:
    """Else HalfSpaceTrees would never look at a feature that the first reading cannot have."""
    detector = adapter("river.anomaly.HalfSpaceTrees", HST | {"seed": 1})
    model = TREES(**HST, seed=1)
    detector.learn(batch_of([[0.5, math.nan]]))
    for row, sensors in enumerate(stream(40, 1)):
        if row % 5 == 3:
            sensors[0][1] = math.nan
        x = {name: v for name, v in zip(FEATURES, sensors[0], strict=True) if not math.isnan(v)}
        if row >= 20:
            assert detector.score(batch_of(sensors))[0] == model.score_one(x)
        detector.learn(batch_of(sensors))
        model.learn_one(x)


def test_a_feature_that_never_comes_is_done_without() -> None:
    detector = adapter("river.anomaly.HalfSpaceTrees", HST)
    for ((value, _),) in stream(MAX_INCOMPLETE_ROWS + 20, 1):
        assert math.isnan(detector.score(batch_of([[value, math.nan]]))[0])
        detector.learn(batch_of([[value, math.nan]]))
    assert math.isfinite(detector.score(batch_of([[0.5, math.nan]]))[0])
    assert math.isnan(detector.score(batch_of([[math.nan, math.nan]]))[0]), "nothing to go by"


def test_sensors_that_never_learnt_cost_nothing_and_gaussians_little() -> None:
    detector = adapter("river.anomaly.GaussianScorer", {}, sensors=1000)
    assert detector.nbytes == 0
    detector.learn(batch_of([[1.0, 1.0]]))
    assert 0 < detector.nbytes < 1500
    models = detector.state()["models"]
    assert isinstance(models, bytes)
    assert len(models) < 4000


def test_a_state_fits_one_version_of_river_and_one_configuration() -> None:
    state = adapter("river.anomaly.OneClassSVM", {"nu": 0.1}).state()
    with pytest.raises(ValueError, match=r"made with river = '0\.1', this detector has '\S+': start it afresh"):
        adapter("river.anomaly.OneClassSVM", {"nu": 0.1}).load({**state, "river": "0.1"})
    with pytest.raises(ValueError, match=r"made with params = \{'nu': 0\.1\}, this detector has \{'nu': 0\.2\}"):
        adapter("river.anomaly.OneClassSVM", {"nu": 0.2}).load(state)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("river.anomaly.HalfSpaceTree", {}, "has no 'HalfSpaceTree'; did you mean HalfSpaceTrees?"),
        ("river.linear_model.LinearRegression", {}, "LinearRegression is not an anomaly detector of River"),
        ("river.anomaly.OneClassSVM", {"mu": 1}, "no parameter 'mu'; it takes nu, optimizer, "),
        ("river.anomaly.QuantileFilter", {"q": 0.9}, "needs the parameter 'anomaly_detector'; it takes "),
        (
            "river.anomaly.QuantileFilter",
            {"q": 0.9, "anomaly_detector": {"kind": "river.anomaly.LODA", "params": {"bins": 3}}},
            "anomaly_detector = river.anomaly.LODA: no parameter 'bins'; it takes n_bins, ",
        ),
        ("river.anomaly.GaussianScorer", {"window_size": 50}, "window_size = 50 is less than grace_period = 100"),
        (
            "river.compose.Pipeline",
            {"steps": [{"kind": "river.preprocessing.StandardScaler"}, {"kind": "river.anomaly.GaussianScorer"}]},
            "Pipeline hands no value on to GaussianScorer: use GaussianScorer without a Pipeline",
        ),
        ("river.anomaly.HalfSpaceTrees", {"height": "8"}, "scoring a trial reading failed: TypeError"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(KindError) as caught:
        RiverDetector(FEATURES, kind=kind, params=params)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_detector_on_features_needs_some() -> None:
    with pytest.raises(KindError, match="OneClassSVM judges features, and none are configured"):
        RiverDetector((), kind="river.anomaly.OneClassSVM")


def test_a_sensor_whose_features_are_not_scaled_yet_teaches_nothing() -> None:
    """Till then it has the features of the clock alone, to which HalfSpaceTrees would keep for good."""
    features = Features()
    features.enrol(np.zeros(1, np.int64), ["UTC"])
    detector = RiverDetector(FEATURE_NAMES, kind="river.anomaly.HalfSpaceTrees", params=HST)
    detector.grow(1)
    zero, one = np.zeros(1, np.int64), np.ones(1, np.bool_)
    for row, value in enumerate(np.random.default_rng(2).normal(20, 1, 80)):
        scaled = features.take_in(zero, zero + row * 1000, np.array([value]), one).scaled
        detector.learn(Batch(zero, zero, np.array([value]), scaled, zero, zero))
    models = pickle.loads(detector.state()["models"])  # type: ignore[arg-type]
    used = {node.feature for tree in models[0].trees for node in tree.iter_dfs() if hasattr(node, "feature")}
    assert used - {"hour_sin", "hour_cos", "day_sin", "day_cos"}
