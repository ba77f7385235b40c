"""What made the verdict on one stored reading: its detectors, its features as they were before it, its neighbours."""

from dataclasses import dataclass
from math import log10, nan
from typing import Any, NamedTuple

import numpy as np

from flows.parts import own_features
from flows.production import registry
from flows.settings import Settings
from infra.clickhouse.client import Address, Client, connect
from infra.clickhouse.reading import StoredReading, asset_verdict, find, neighbours, read_before
from infra.clickhouse.registry import load_registry
from models.feature import Feature
from operators.batches import Series
from operators.features import FEATURES, MOST_FLAT, Features
from operators.verdict import WEEK_MS

EACH_SIDE = 5

Row = dict[str, Any]


class FeatureValue(NamedTuple):
    """One feature as measured; value is NaN while unknown, meaning "" for features of one's own."""

    name: str
    value: float
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """stored: the reading and what each detector said. around: it and its neighbours, by event time.

    asset: the row of asset_verdicts for its tick; None when its asset was not judged then.
    features: computed anew from the readings stored before it.
    low, high: limits of its sensor or type as they are configured now; NaN for none.
    threshold: surprise from which models flag it, by the pace of the readings before it; NaN without any.
    """

    stored: StoredReading
    around: list[Row]
    asset: Row | None
    features: list[FeatureValue]
    low: float
    high: float
    threshold: float


def explain(settings: Settings, address: Address, *, sensor_id: str, time_ms: int) -> Explanation:
    """Of the sensor's reading nearest to a time. Raises UnknownReading, ClickHouseError."""
    with connect(address) as client:
        return explain_from(client, settings, sensor_id=sensor_id, time_ms=time_ms)


def explain_from(client: Client, settings: Settings, *, sensor_id: str, time_ms: int) -> Explanation:
    """The same, through a connection there is."""
    stored = find(client, sensor_id=sensor_id, time_ms=time_ms)
    reading = stored.reading
    known = registry(settings, load_registry(client))
    series = Series(*(reading[name] for name in Series._fields))
    low, high = known.limits(series)
    before = read_before(client, reading, most=MOST_FLAT + 1)
    return Explanation(
        stored,
        neighbours(client, reading, each_side=EACH_SIDE),
        asset_verdict(client, reading),
        _features(before, known.time_zone(series), own_features(settings)),
        low,
        high,
        _threshold(before, settings.verdict.false_alarms_per_week),
    )


def _features(rows: list[Row], zone: str, own: list[Feature]) -> list[FeatureValue]:
    """Of the last of some readings of one sensor, as they were read."""
    features = Features(own)
    features.enrol(np.zeros(1, np.int64), [zone])
    time_ms, value = (np.array([row[name] for row in rows]) for name in ("time_ms", "value"))
    in_order = np.array([row["quality"] == "ok" for row in rows])
    vectors = features.take_in(np.zeros(len(rows), np.int64), time_ms, value, in_order)
    said = FEATURES | {name: (unit, "") for one in own for name, unit in zip(one.names, one.units, strict=True)}
    return [
        FeatureValue(name, x, *said[name]) for name, x in zip(features.names, vectors.raw[-1].tolist(), strict=True)
    ]


def _threshold(rows: list[Row], per_week: float) -> float:
    """As operators.verdict derives it; the pace is the median interval, which is learnt there."""
    times_ms = [row["time_ms"] for row in rows if row["quality"] == "ok"]
    if len(times_ms) < 2:
        return nan
    interval_ms = max(float(np.median(np.diff(times_ms))), 1.0)
    return log10(max(WEEK_MS / interval_ms / per_week, 10.0))
