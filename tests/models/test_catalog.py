"""Kinds of detectors by import path: ours, one's own, River's; and every mistake in one line at start."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river import anomaly

from models.catalog import build
from models.detector import Batch, Floats
from models.importing import KindError
from models.river_adapter import RiverDetector
from models.rolling_z import RollingZ

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


def test_builds_ours_ones_own_and_rivers() -> None:
    assert type(build("models.rolling_z.RollingZ", FEATURES, {"window": 30})) is RollingZ
    assert type(build(f"{__name__}.Own", FEATURES, {})) is Own
    assert type(build("river.anomaly.GaussianScorer", FEATURES, {"warm_up": 5})) is RiverDetector
    assert type(build(f"{__name__}.OwnRiver", FEATURES, {"height": 3})) is RiverDetector


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
        ("river.anomaly.GaussianScorer", {"warm_up": 0}, "warm_up = 0: must be a number of readings, at least 1"),
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


def test_river_is_imported_only_when_a_detector_needs_it() -> None:
    code = (
        "import sys; from models.catalog import build; build('models.rolling_z.RollingZ', (), {}); "
        "sys.exit('river' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
