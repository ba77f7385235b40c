"""The cost of a sensor, found by trying, against what is known of it."""

from typing import Any

import pytest

from models.catalog import build, build_drift
from models.cost import cost_per_sensor

FEATURES = ("value", "delta", "hour")


@pytest.mark.parametrize(
    ("kind", "params", "memory_bytes"),
    [
        ("models.rolling_z.RollingZ", {"window": 60}, 61 * 8),
        ("river.anomaly.GaussianScorer", {}, 24),
        ("river.anomaly.HalfSpaceTrees", {"n_trees": 5, "height": 5}, 5 * 32 * 3 + 24),
    ],
)
def test_memory_is_a_sensors_own_without_what_all_share(kind: str, params: dict[str, Any], memory_bytes: int) -> None:
    cost = cost_per_sensor(build(kind, FEATURES, params), features=3)
    assert cost.memory_bytes == memory_bytes
    assert 0 < cost.snapshot_bytes <= memory_bytes


def test_rivers_objects_cost_a_hundred_times_their_twins() -> None:
    params = {"n_trees": 5, "height": 5}
    twin = cost_per_sensor(build("river.anomaly.HalfSpaceTrees", FEATURES, params), features=3)
    kind = "models.river_adapter.RiverDetector"
    adapter = build(kind, FEATURES, {"kind": "river.anomaly.HalfSpaceTrees", "params": params})
    river = cost_per_sensor(adapter, features=3)
    assert river.memory_bytes > 100 * twin.memory_bytes
    assert river.snapshot_bytes > 5 * twin.snapshot_bytes


def test_drift_detectors_have_a_cost_too() -> None:
    twin = cost_per_sensor(build_drift("river.drift.PageHinkley", {}))
    assert twin.memory_bytes == 48
    assert 0 < twin.snapshot_bytes < 60
    assert cost_per_sensor(build_drift("river.drift.ADWIN", {})).memory_bytes > 600
