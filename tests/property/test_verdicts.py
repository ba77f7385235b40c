"""Verdicts of every kind of detector are the same however a stream with faults is cut, interleaved and interrupted."""

from random import Random

import pytest

from flows.settings import Detector, Drift, Settings
from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Simulation
from tests.ports import ABORT, Item, MemoryTables, Message
from tests.property.cases import settings
from tests.property.compare import same_tables
from tests.property.harness import Harness

START_MS = 1_700_000_000_000
SECONDS = 900

FEATURES = ("value", "delta", "std", "mean_shift")
FOREST = {"window": 60, "min_rows": 20, "new_rows": 5, "max_samples": 32, "n_estimators": 8}
FOREST |= {"every_ms": 60_000, "delay_ms": 20_000}
DETECTORS = (
    Detector(name="z", kind="models.rolling_z.RollingZ", role="rule", threshold=3.0),
    Detector(
        name="forecast",
        kind="models.forecast.SeasonalForecast",
        drift=Drift(params={"delta": 0.05, "threshold": 5.0}, relearn=True),
    ),
    Detector(name="level", kind="models.deviation.Deviation", params={"long": 50}),
    Detector(name="gaussian", kind="river.anomaly.GaussianScorer", role="challenger", params={"grace_period": 20}),
    Detector(
        name="trees",
        kind="river.anomaly.HalfSpaceTrees",
        features=FEATURES,
        params={"n_trees": 3, "height": 4, "window_size": 40},
    ),
    Detector(name="svm", kind="river.anomaly.OneClassSVM", role="challenger", features=FEATURES),
    Detector(name="forest", kind="models.isolation_forest.IsolationForest", features=FEATURES, params=FOREST),
    Detector(name="autoencoder", kind="models.tflite.TFLite", features=("value", "delta", "std", "flatness")),
)


def streams() -> dict[str, list[Item]]:
    """Two partitions of two sensors each, a reading a second, much of it faulty, some late and twice."""
    partitions: dict[str, list[Item]] = {"t/0": [], "t/1": []}
    config = SimulationConfig(seed=3, sensors=4, rate=4.0, fault_share=0.2, disorder=0.03)
    for key, payload, time_ms in Simulation(config).batch(START_MS, START_MS + SECONDS * 1000):
        partitions[f"t/{sum(key) % 2}"].append(Message(payload, time_ms))
    return partitions


def run(config: Settings, partitions: dict[str, list[Item]], seed: int, *, snapshot: float) -> MemoryTables:
    tables = MemoryTables()
    harness = Harness(config, partitions, tables, rng=Random(seed), snapshot=snapshot)
    harness.run()
    harness.finish()
    return tables


@pytest.mark.parametrize("seed", [1, 2])
def test_verdicts_of_all_detectors_are_the_same_whatever_happens(seed: int) -> None:
    config = settings(detectors=DETECTORS, stuck_after=60_000)
    partitions = streams()
    assert all(len(items) > SECONDS for items in partitions.values()), "each partition has sensors"
    once = run(config, partitions, 0, snapshot=0.0)
    rng = Random(seed)
    interrupted = {
        name: [one for item in items for one in ([ABORT, item] if rng.random() < 0.004 else [item])]
        for name, items in partitions.items()
    }
    same_tables(once, run(config, interrupted, seed, snapshot=0.05))
    rows = list(once.final("readings"))
    assert {"drift", "model_change"} == {row["kind"] for row in once.final("events")}
    for name in ("forecast", "trees", "forest", "autoencoder"):
        assert any(row["surprises"][name] > 1 for row in rows), f"{name} has had a say"
    assert 0 < sum(row["model_anomaly"] for row in rows) < 0.5 * len(rows)
    assert any("forest" in row["model_versions"] for row in rows)
