"""One reading in full: its neighbours, its features, what each detector said; as `explain-reading` tells it."""

import math
from datetime import datetime
from http import HTTPStatus
from typing import Any

from infra.clickhouse.reading import UnknownReading, asset_verdict, find, neighbours
from infra.console.data.rows import kinds, table_of_rows
from infra.console.dataset import Ask, Dataset
from infra.console.knowledge import Explanation
from infra.console.table import Table
from infra.http.answers import Problem
from operators.records import RULES

_EACH_SIDE = 120
_MOST_EACH_SIDE = 600
_ALERTS = 20

_DETECTORS = kinds(text="detector role flags_from model_version", number="raw_score surprise flagged")
_FEATURES = kinds(text="feature unit meaning", number="value")
_AROUND = kinds(
    time="time",
    text="quality label flagged_by",
    number="value expected expected_low expected_high score is_anomaly rule_anomaly model_anomaly itself",
    other="surprises",
)
_READING = [
    "sensor_id",
    "sensor_type",
    "location",
    "asset_id",
    "unit",
    "value",
    "quality",
    "label",
    "score",
    "is_anomaly",
    "rule_anomaly",
    "model_anomaly",
    "out_of_range",
    "stuck",
    "flagged_by",
    "expected",
    "expected_low",
    "expected_high",
    "topic",
    "partition",
    "offset",
    "idx",
    "attributes",
]

Row = dict[str, Any]


def reading(ask: Ask) -> Table:
    """What each detector said of the sensor's reading nearest to a time; about: the reading, its features, the verdict
    on its asset, alerts that it belongs to, the anomalies before and after."""
    with ask.reader.client() as client:
        sensor_id, time_ms = _wanted(ask)
        try:
            if ask.known.explain is not None:
                told: Explanation | None = ask.known.explain(client, sensor_id, time_ms)
                assert told is not None
                stored, asset = told.stored, told.asset
            else:
                told, stored = None, find(client, sensor_id=sensor_id, time_ms=time_ms)
                asset = asset_verdict(client, stored.reading)
        except UnknownReading as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error)) from None
    one = stored.reading
    about = {
        "reading": {"time": one["time_ms"], **{name: plain(one[name]) for name in _READING}},
        "away_ms": stored.away_ms,
        "twins": stored.twins,
        "asset": asset and {name: plain(value) for name, value in asset.items()},
        "features": [] if told is None else _features(told),
        "threshold": None if told is None else _number(told.threshold),
        "limits": None if told is None else [_number(told.low), _number(told.high)],
        "alerts": list(_alerts(ask, one).rows()),
        **_beside(ask, one),
    }
    return table_of_rows(_DETECTORS, _detectors(ask, stored.detectors, told), **about)


def around(ask: Ask) -> Table:
    """Readings of the sensor before and after it, with forecast and surprises; so many on each side."""
    each_side = ask.number("each_side", _EACH_SIDE, least=5, most=_MOST_EACH_SIDE)
    sensor_id, time_ms = _wanted(ask)
    with ask.reader.client() as client:
        try:
            itself = find(client, sensor_id=sensor_id, time_ms=time_ms).reading
        except UnknownReading as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error)) from None
        rows = neighbours(client, itself, each_side=each_side)
    place = ("time_ms", "topic", "partition", "offset", "idx")
    return table_of_rows(
        _AROUND,
        (
            {name: plain(row[name]) for name in _AROUND if name in row}
            | {
                "time": row["time_ms"],
                "flagged_by": ", ".join(row["flagged_by"]),
                "itself": int(all(row[name] == itself[name] for name in place)),
            }
            for row in rows
        ),
        unit=str(itself["unit"]),
    )


def features(ask: Ask) -> Table:
    """Its features, computed anew from the readings stored before it."""
    return table_of_rows(_FEATURES, reading(ask).about["features"])


def _wanted(ask: Ask) -> tuple[str, int]:
    if len(ask.scope.sensors) != 1:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "sensor: name the one whose reading is to be explained")
    return ask.scope.sensors[0], ask.number("time", -1, least=-(2**53), most=2**53)


def _detectors(ask: Ask, rows: list[Row], told: Explanation | None) -> list[Row]:
    """Those of the configuration first, in its order; then rules of the checks, also those that said nothing."""
    said = {str(row["detector"]): row for row in rows}
    order = {name: place for place, name in enumerate((*ask.known.roles, *RULES))}
    nothing: Row = {"raw_score": None, "surprise": None, "flagged": False, "model_version": ""}
    found = []
    for name in sorted(said.keys() | set(RULES), key=lambda name: (order.get(name, len(order)), name)):
        row = said.get(name, nothing)
        found.append(
            {
                "detector": name,
                "role": "check" if name in RULES else ask.known.roles.get(name, ""),
                "raw_score": plain(row["raw_score"]),
                "surprise": plain(row["surprise"]),
                "flags_from": _flags_from(ask, name, told),
                "flagged": int(row["flagged"]),
                "model_version": row["model_version"],
            }
        )
    return found


def _flags_from(ask: Ask, name: str, told: Explanation | None) -> str:
    if name in RULES or told is None or name not in ask.known.roles:
        return ""
    if name in ask.known.thresholds:
        return f"raw score {ask.known.thresholds[name]:g}"
    return "" if math.isnan(told.threshold) else f"surprise {told.threshold:.2f}"


def _features(told: Explanation) -> list[Row]:
    return [
        {"feature": one.name, "value": _number(one.value), "unit": one.unit, "meaning": one.meaning}
        for one in told.features
    ]


def _alerts(ask: Ask, one: Row) -> Table:
    """On its sensor, or its location, asset or type, while it was read."""
    return ask.table(
        f"""
        SELECT alert_id, severity, rule, status, started_at, ended_at, reason FROM alerts_current
        WHERE started_at <= fromUnixTimestamp64Milli({{time_ms:Int64}})
            AND ifNull(ended_at >= fromUnixTimestamp64Milli({{time_ms:Int64}}), true)
            AND (sensor_id = {{sensor_id:String}} OR (sensor_id = '' AND location || sensor_type || asset_id != ''
                AND location IN ('', {{location:String}}) AND sensor_type IN ('', {{sensor_type:String}})
                AND asset_id IN ('', {{asset_id:String}})))
        ORDER BY sensor_id = '', started_at DESC LIMIT {_ALERTS}""",
        **{name: one[name] for name in ("time_ms", "sensor_id", "location", "sensor_type", "asset_id")},
    )


def _beside(ask: Ask, one: Row) -> Row:
    """When the sensor was flagged before, and next: times of the last reading of the episode before, and so on."""
    found = ask.table(
        """
        SELECT maxIf(time, time < fromUnixTimestamp64Milli({time_ms:Int64})) AS before,
            minIf(time, time > fromUnixTimestamp64Milli({time_ms:Int64})) AS after
        FROM readings_final WHERE sensor_id = {sensor_id:String} AND is_anomaly""",
        time_ms=one["time_ms"],
        sensor_id=one["sensor_id"],
    )
    (row,) = found.rows()
    return {name: row[name] or None for name in ("before", "after")}


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


DATASETS = (
    Dataset("reading", "one reading and what each detector said of it", reading),
    Dataset("around", "its sensor's readings around it", around),
    Dataset("features", "its features", features),
)
