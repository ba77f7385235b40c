"""Kinds of detectors by import path: ours, one's own, River's; and every mistake in one line at start."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river import anomaly

from models.absolute_deviation import StandardAbsoluteDeviation
from models.catalog import build, build_drift, implementation
from models.detector import Batch, Floats, Slots
from models.gaussian import GaussianScorer
from models.half_space_trees import HalfSpaceTrees
from models.importing import KindError
from models.page_hinkley import PageHinkley
from models.river_adapter import RiverDetector
from models.river_drift import RiverDrift
from models.rolling_z import RollingZ
from tests.models.twins import assert_same_scores, batch_of

FEATURES = ("value",)


class Own(RollingZ):
    """A detector of one's own."""


class OwnRiver(anomaly.HalfSpaceTrees):
    """A River detector of one's own."""


class HalfDone:
    def __init__(self, feature_names: tuple[str, ...]) -> None: ...

    def score(self, batch: Batch) -> Floats:
        return batch.values


class Crooked(RollingZ):
    def score(self, batch: Batch) -> Floats:
        return np.zeros((len(batch), 2))


class Failing(RollingZ):
    def learn(self, batch: Batch) -> None:
        raise RuntimeError("no\nmodel")


class OwnDrift(PageHinkley):
    """A drift detector of one's own."""


class CrookedDrift(PageHinkley):
    def update(self, slots: Slots, values: Floats) -> Any:
        return values


TREES = "river.anomaly.HalfSpaceTrees"
DEVIATION = "river.anomaly.StandardAbsoluteDeviation"
MEDIAN = {"kind": "river.stats.Quantile", "params": {"q": 0.5}}

BUILT: list[tuple[str, dict[str, Any], type, str]] = [
    ("models.rolling_z.RollingZ", {"window": 30}, RollingZ, "models.rolling_z.RollingZ"),
    (f"{__name__}.Own", {}, Own, f"{__name__}.Own"),
    (
        TREES,
        {"height": 3, "warm_up": 5, "seed": 4, "limits": {"value": [0, 2]}},
        HalfSpaceTrees,
        "models.half_space_trees.HalfSpaceTrees (compiled twin of river.anomaly.HalfSpaceTrees)",
    ),
    (TREES, {"height": 2, "window_size": 70_000}, RiverDetector, f"{TREES} by the adapter, one object per sensor"),
    (
        "river.anomaly.GaussianScorer",
        {"window_size": 200},
        GaussianScorer,
        "models.gaussian.GaussianScorer (compiled twin of river.anomaly.GaussianScorer)",
    ),
    (
        DEVIATION,
        {},
        StandardAbsoluteDeviation,
        f"models.absolute_deviation.StandardAbsoluteDeviation (compiled twin of {DEVIATION})",
    ),
    (DEVIATION, {"sub_stat": MEDIAN}, RiverDetector, f"{DEVIATION} by the adapter, one object per sensor"),
    ("river.anomaly.LODA", {}, RiverDetector, "river.anomaly.LODA by the adapter, one object per sensor"),
    (
        f"{__name__}.OwnRiver",
        {"height": 3},
        RiverDetector,
        f"{__name__}.OwnRiver by the adapter, one object per sensor",
    ),
]
BUILT_DRIFT: list[tuple[str, dict[str, Any], type, str]] = [
    (
        "river.drift.PageHinkley",
        {"mode": "up"},
        PageHinkley,
        "models.page_hinkley.PageHinkley (compiled twin of river.drift.PageHinkley)",
    ),
    ("river.drift.ADWIN", {"delta": 0.1}, RiverDrift, "river.drift.ADWIN by the adapter, one object per sensor"),
    (f"{__name__}.OwnDrift", {"threshold": 9}, OwnDrift, f"{__name__}.OwnDrift"),
]


@pytest.mark.parametrize(("kind", "params", "made", "told"), BUILT)
def test_builds_ours_ones_own_and_rivers_and_says_which(
    kind: str, params: dict[str, Any], made: type, told: str
) -> None:
    assert type(build(kind, FEATURES, params)) is made
    assert implementation(kind, params) == told


@pytest.mark.parametrize(("kind", "params", "made", "told"), BUILT_DRIFT)
def test_builds_drift_detectors_and_says_which(kind: str, params: dict[str, Any], made: type, told: str) -> None:
    assert type(build_drift(kind, params)) is made
    assert implementation(kind, params) == told


def test_a_twin_that_is_built_equals_river_with_the_same_parameters() -> None:
    params = {"n_trees": 3, "height": 3, "window_size": 10, "seed": 4, "limits": {"value": [0, 2]}}
    twin = build(TREES, FEATURES, params | {"warm_up": 5})
    river = RiverDetector(FEATURES, kind=TREES, params=params, warm_up=5)
    rows = np.random.default_rng(0).uniform(0, 2, (40, 3, 1))
    assert_same_scores(twin, river, [batch_of(row[:, 0], row) for row in rows], within=0)


def test_what_it_builds_has_seen_nothing() -> None:
    assert build("models.rolling_z.RollingZ", FEATURES, {}).nbytes == 0


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("RollingZ", {}, "'RollingZ' is not an import path: write the module and the name of a detector class"),
        ("models.rolling.RollingZ", {}, "models.rolling.RollingZ: no module 'models.rolling'; is it installed"),
        ("models.rolling_z.Rolling", {}, "has no 'Rolling'; did you mean RollingZ?"),
        ("models.rolling_z.NOISE", {}, "is a float, not a detector class"),
        ("models.rolling_z.RollingZ", {"windw": 9}, "no parameter 'windw'; it takes window, min_samples, min_std; did"),
        ("models.rolling_z.RollingZ", {"feature_names": []}, "no parameter 'feature_names'"),
        ("models.rolling_z.RollingZ", {"window": 5}, "ValueError: min_samples = 20: must be from 2 to window (5)"),
        ("river.anomaly.LODA", {"warm_up": 0}, "warm_up = 0: must be a number of readings, at least 1"),
        (TREES, {"warm_up": 0}, f"{TREES}: ValueError: warm_up = 0: must be a whole number, at least 1"),
        (TREES, {"hight": 4}, f"{TREES}: no parameter 'hight'; it takes n_trees, height, window_size, limits, seed, "),
        (TREES, {"limits": {"v": [0, 1]}}, "limits of 'v': the features are value"),
        (DEVIATION, {"sub_stat": {"kind": "river.stats.Median"}}, "module river.stats has no 'Median'"),
        ("river.drift.ADWIN", {}, "ADWIN is not an anomaly detector of River"),
        (f"{__name__}.HalfDone", {}, "is not a detector: it lacks grow, learn, reset, nbytes, state, load; see "),
        (f"{__name__}.Crooked", {}, "score() must give a float64 array of shape (n,)"),
        (f"{__name__}.Failing", {}, "a trial with one reading failed: RuntimeError: no model"),
    ],
)
def test_every_mistake_is_one_line_at_start(kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(KindError) as caught:
        build(kind, FEATURES, params)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("river.drift.PageHinkley", {"lambda": 9}, "no parameter 'lambda'; it takes min_instances, delta, threshold, "),
        ("river.drift.PageHinkley", {"mode": "on"}, "river.drift.PageHinkley: ValueError: mode = 'on': must be 'up',"),
        ("river.anomaly.LODA", {}, "LODA is not a detector of drift in numbers; river.drift holds them"),
        ("models.rolling_z.RollingZ", {}, "is not a drift detector: it lacks update; see models.drift.DriftDetector"),
        (f"{__name__}.CrookedDrift", {}, "update() must give a bool array of shape (n,)"),
    ],
)
def test_every_mistake_with_drift_is_one_line_at_start(kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(KindError) as caught:
        build_drift(kind, params)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_river_is_imported_only_when_a_detector_needs_it() -> None:
    code = (
        "import sys; from models.catalog import build, build_drift, implementation; "
        "build('models.rolling_z.RollingZ', (), {}); build('river.anomaly.HalfSpaceTrees', ('a',), {}); "
        "build('river.anomaly.GaussianScorer', (), {}); build('river.anomaly.StandardAbsoluteDeviation', (), {}); "
        "build_drift('river.drift.PageHinkley', {}); implementation('river.drift.PageHinkley', {}); "
        "sys.exit('river' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
