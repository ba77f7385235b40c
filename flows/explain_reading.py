"""What made the verdict on one stored reading: its detectors, its features as they were before it, its neighbours."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.production import registry
from flows.settings import Settings
from infra.clickhouse.client import Address, connect
from infra.clickhouse.reading import StoredReading, asset_verdict, find, neighbours, read_before
from infra.clickhouse.registry import load_registry
from operators.batches import Series
from operators.features import MOST_FLAT, Features

EACH_SIDE = 5

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """stored: the reading and what each detector said. around: it and its neighbours, by event time.

    asset: the row of asset_verdicts for its tick; None when its asset was not judged then.
    features: by name, as measured; computed anew from the readings stored before it. low, high: limits of its sensor
    or type as they are configured now; NaN for none.
    """

    stored: StoredReading
    around: list[Row]
    asset: Row | None
    features: dict[str, float]
    low: float
    high: float


def explain(settings: Settings, address: Address, *, sensor_id: str, time_ms: int) -> Explanation:
    """Of the sensor's reading nearest to a time. Raises UnknownReading, ClickHouseError."""
    with connect(address) as client:
        stored = find(client, sensor_id=sensor_id, time_ms=time_ms)
        reading = stored.reading
        known = registry(settings, load_registry(client))
        series = Series(*(reading[name] for name in Series._fields))
        low, high = known.limits(series)
        return Explanation(
            stored,
            neighbours(client, reading, each_side=EACH_SIDE),
            asset_verdict(client, reading),
            _features(read_before(client, reading, most=MOST_FLAT + 1), known.time_zone(series)),
            low,
            high,
        )


def _features(rows: list[Row], zone: str) -> dict[str, float]:
    """Of the last of some readings of one sensor, as they were read."""
    features = Features()
    features.grow([zone])
    time_ms, value = (np.array([row[name] for row in rows]) for name in ("time_ms", "value"))
    in_order = np.array([row["quality"] == "ok" for row in rows])
    vectors = features.take_in(np.zeros(len(rows), np.int64), time_ms, value, in_order)
    return dict(zip(features.names, vectors.raw[-1].tolist(), strict=True))
