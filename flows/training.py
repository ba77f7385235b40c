"""Training a model for models.tflite: where its readings come from, and their features, made as the flow makes them."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.settings import SettingsError
from infra.clickhouse.client import Address, connect
from infra.clickhouse.history import read_history
from infra.simulate.config import SimulationConfig
from infra.simulate.faults import LABELS
from infra.simulate.simulation import Simulation
from models.detector import Floats
from models.manifest import write
from models.train.artifact import Made, Origin, make
from models.train.evaluation import Examples
from operators.batches import Flags, Ints
from operators.features import FEATURES, Features

FEATURE_NAMES = ("value", "delta", "std", "flatness")
"""The default. F1 on unseen simulated faults, mean of 3 seeds: these 0.776, with mean_shift 0.773, with mean_shift and
range 0.757, mean_shift for std 0.756; those with all of mean, std and range raise more false alarms."""
CHOICES = tuple(name for name in FEATURES if not name.startswith(("hour_", "day_")))
"""The time of day and week cannot be strange by itself."""

KINDS = LABELS[1:]
INTERVALS_S = (0.35, 1.0, 5.0, 30.0)
"""Simulated sensors send every so many seconds."""
SENSORS = 35
READINGS = 2000
"""Of each simulated sensor, for each seed and interval."""
ROWS = 60_000
"""That teach, drawn from all."""
LEAST_ROWS = 1000
MOST_STORED = 500_000
_START_MS = 1_767_225_600_000  # 2026-01-01: the same readings whenever it runs

Told = Callable[[str, float], None]
"""Is told what is being done, and the share of it that is."""


class TrainingError(SettingsError):
    """There is not enough to learn from; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Trained:
    """rows: how many taught. The int8 model is made from the float32 one."""

    float32: Made
    int8: Made
    rows: int
    paths: tuple[Path, Path]


def train(
    out: Path,
    *,
    name: str,
    seed: int,
    epochs: int,
    features: Sequence[str] = FEATURE_NAMES,
    stored: "Stored | None" = None,
    today: datetime.date,
    told: Told = lambda what, share: None,
) -> Trained:
    """Train, measure, and write both models with their manifests: manifest.toml and manifest-int8.toml in `out`.

    stored: normal readings from there instead of simulated ones; measured is with simulated faults all the same.
    Raises TrainingError, ClickHouseError.
    """
    if stored is None:
        teaching = simulated((10 * seed + 1, 10 * seed + 2), features, lambda share: told("simulating", share))
        origin = f"simulated sensors that send every {min(INTERVALS_S):g} to {max(INTERVALS_S):g} s"
    else:
        told("reading what is stored", 0.0)
        teaching = [stored.examples(features)]
        origin = stored.described
    rows = _rows(teaching, seed)
    if len(rows) < LEAST_ROWS:
        raise TrainingError(
            f"{len(rows):,} normal readings to learn from, at least {LEAST_ROWS:,} are needed: a sensor counts from "
            "about its 30th reading on, and not within 32 readings after an anomaly; store more, or widen --since"
        )
    faults = "simulating faults"
    validation = simulated((10 * seed + 3,), features, lambda share: told(faults, share / 3))
    unseen = simulated((10 * seed + 4, 10 * seed + 5), features, lambda share: told(faults, (1 + 2 * share) / 3))
    float32, int8 = make(
        rows,
        features={one: FEATURES[one][0] for one in features},
        validation=validation,
        unseen=unseen,
        kinds=KINDS,
        origin=Origin(name=name, trained_on=origin, seed=seed, created=today),
        epochs=epochs,
        on_epoch=lambda share: told("training", share),
    )
    paths = out / "manifest.toml", out / "manifest-int8.toml"
    for path, one in zip(paths, (float32, int8), strict=True):
        write(one.manifest, one.content, path)
    return Trained(float32, int8, len(rows), paths)


def simulated(seeds: Sequence[int], names: Sequence[str], on_share: Callable[[float], None]) -> list[Examples]:
    """Readings of simulated sensors with faults, for each seed and interval."""
    examples = []
    plans = [(seed, interval_s) for seed in seeds for interval_s in INTERVALS_S]
    for done, (seed, interval_s) in enumerate(plans):
        on_share(done / len(plans))
        simulation = Simulation(SimulationConfig(seed=seed, sensors=SENSORS, rate=SENSORS / interval_s))
        rows = simulation.columns(_START_MS, _START_MS + int(READINGS * interval_s * 1000))
        scaled = _scaled(rows.sensor, rows.time_ms, rows.value, np.ones(len(rows), np.bool_), names)
        examples.append(Examples(scaled, rows.sensor, rows.label))
    on_share(1.0)
    return examples


class Stored:
    """Readings in ClickHouse, from so far back until the newest."""

    def __init__(self, address: Address, *, since_ms: int) -> None:
        self._address, self._since_ms = address, since_ms
        self.described = "nothing stored"

    def examples(self, names: Sequence[str]) -> Examples:
        """With what was flagged as their faults. Raises ClickHouseError."""
        with connect(self._address) as client:
            found = read_history(client, since_ms=self._since_ms, most=MOST_STORED)
        if len(found):
            span = np.array([found.time_ms.min(), found.time_ms.max()], "datetime64[ms]").astype("datetime64[s]")
            sensors = int(found.sensor.max()) + 1
            self.described = f"{len(found):,} stored readings of {sensors:,} sensors, {span[0]} to {span[1]} UTC"
        scaled = _scaled(found.sensor, found.time_ms, found.value, found.in_order, names)
        return Examples(scaled, found.sensor, found.flagged.astype(np.uint8))


def _scaled(sensor: Ints, time_ms: Ints, value: Floats, in_order: Flags, names: Sequence[str]) -> Floats:
    """(n, names) features as the flow scales them."""
    features = Features()
    sensors = np.arange(int(sensor.max(initial=-1)) + 1)
    features.enrol(sensors, [""] * len(sensors))
    vectors = features.take_in(sensor, time_ms, value, in_order)
    return np.ascontiguousarray(vectors.scaled[:, [features.names.index(name) for name in names]])


def _rows(examples: Sequence[Examples], seed: int) -> Floats:
    """At most ROWS of the readings without faults, drawn at random."""
    rows = np.concatenate([one.features[one.settled()] for one in examples])
    return rows[np.random.default_rng(seed).permutation(len(rows))[:ROWS]]
