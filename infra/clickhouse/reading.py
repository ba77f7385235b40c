"""One stored reading with all that was said of it, and its sensor's readings around it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained

MAX_AWAY_MS = 86_400_000
"""A reading further from the time asked for is not meant."""

Row = dict[str, Any]


class UnknownReading(Exception):
    """There is no such reading; the message says which there are."""


@dataclass(frozen=True, slots=True)
class StoredReading:
    """reading: a row of readings_final, by column. detectors: its rows of `predictions`. away_ms: later than asked for.

    twins: other readings of its sensor at the same time.
    """

    reading: Row
    detectors: list[Row]
    away_ms: int
    twins: int


def find(client: Client, *, sensor_id: str, time_ms: int) -> StoredReading:
    """The sensor's reading nearest to a time. Raises UnknownReading, ClickHouseError."""
    asked = {"sensor": sensor_id, "time": time_ms}
    nearest = _rows(
        client,
        # When it was is found first: of the times alone, for a sensor may have millions of readings.
        "SELECT *, toUnixTimestamp64Milli(time) AS time_ms FROM readings_final WHERE sensor_id = {sensor:String} "
        "AND time = (SELECT time FROM readings WHERE sensor_id = {sensor:String} "
        "ORDER BY abs(toUnixTimestamp64Milli(time) - {time:Int64}), time LIMIT 1) "
        "ORDER BY topic, partition, offset, idx LIMIT 1",
        asked,
    )
    if not nearest:
        raise UnknownReading(_unknown_sensor(client, sensor_id))
    (reading,) = nearest
    if abs(reading["time_ms"] - time_ms) > MAX_AWAY_MS:
        raise UnknownReading(_too_far(client, reading, time_ms))
    detectors = _rows(client, f"SELECT * FROM predictions WHERE {_SAME} ORDER BY detector", reading)
    at_its_time = "sensor_id = {sensor_id:String} AND time = fromUnixTimestamp64Milli({time_ms:Int64})"
    (same,) = _rows(client, f"SELECT count() AS count FROM readings_final WHERE {at_its_time}", reading)
    return StoredReading(reading, detectors, reading["time_ms"] - time_ms, same["count"] - 1)


def neighbours(client: Client, reading: Row, *, each_side: int) -> list[Row]:
    """Some readings of its sensor before and after it, and itself, in order of event time."""
    columns = "*, toUnixTimestamp64Milli(time) AS time_ms"
    place = "(time_ms, topic, partition, offset, idx)"
    its = "({time_ms:Int64}, {topic:String}, {partition:Int32}, {offset:Int64}, {idx:Int32})"
    found = []
    for side, order, limit in (("<=", "DESC", each_side + 1), (">", "ASC", each_side)):
        ordered = ", ".join(f"{name} {order}" for name in ("time_ms", "topic", "partition", "offset", "idx"))
        beyond, until, last = ("<=", ">=", "min") if order == "DESC" else (">=", "<=", "max")
        from_its = f"sensor_id = {{sensor_id:String}} AND time {beyond} fromUnixTimestamp64Milli({{time_ms:Int64}})"
        # So many times hold as many readings at least.
        times = f"SELECT DISTINCT time FROM readings WHERE {from_its} ORDER BY time {order} LIMIT {limit + 1}"
        sql = (
            f"SELECT {columns} FROM readings_final WHERE {from_its} "
            f"AND time {until} (SELECT {last}(time) FROM ({times})) AND {place} {side} {its} "
            f"ORDER BY {ordered} LIMIT {limit}"
        )
        found += _rows(client, sql, reading)
    return sorted(found, key=lambda row: (row["time_ms"], row["topic"], row["partition"], row["offset"], row["idx"]))


def asset_verdict(client: Client, reading: Row) -> Row | None:
    """The verdict on its asset (else its location) in the tick it belongs to; None when there is none."""
    found = _rows(
        client,
        "SELECT * FROM asset_verdicts_final WHERE ((asset_id = {asset_id:String} AND location = '') "
        "OR (asset_id = '' AND location = {location:String})) AND asset_id || location != '' "
        "AND time <= fromUnixTimestamp64Milli({time_ms:Int64}) "
        "AND time > fromUnixTimestamp64Milli({time_ms:Int64} - tick_ms) "
        "ORDER BY asset_id DESC LIMIT 1",
        reading,
    )
    return found[0] if found else None


def read_before(client: Client, reading: Row, *, most: int) -> list[Row]:
    """What its partition held of its sensor before it, as read, itself last: time_ms, value and quality of each."""
    rows = _rows(
        client,
        "SELECT toUnixTimestamp64Milli(time) AS time_ms, value, quality FROM readings_final "
        "WHERE sensor_id = {sensor_id:String} AND topic = {topic:String} AND partition = {partition:Int32} "
        f"AND (offset, idx) <= ({{offset:Int64}}, {{idx:Int32}}) ORDER BY offset DESC, idx DESC LIMIT {most}",
        reading,
    )
    return rows[::-1]


_SAME = (
    "sensor_id = {sensor_id:String} AND time = fromUnixTimestamp64Milli({time_ms:Int64}) AND topic = {topic:String} "
    "AND partition = {partition:Int32} AND offset = {offset:Int64} AND idx = {idx:Int32}"
)


def _rows(client: Client, sql: str, parameters: Row) -> list[Row]:
    with explained("the query", client):
        return list(client.query(sql, parameters=parameters).named_results())


def _unknown_sensor(client: Client, sensor_id: str) -> str:
    known = [row["sensor_id"] for row in _rows(client, "SELECT DISTINCT sensor_id FROM readings", {})]
    if not known:
        return "no readings are stored yet: `streamgauge run sensors` stores them"
    near = _alike(sensor_id, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {len(known):,}, such as {min(known)}"
    return f"sensor {sensor_id!r}: no reading of it is stored; {hint}"


def _alike(name: str, known: Sequence[str]) -> list[str]:
    """Names that are nearly this one, or hold it."""
    holding = sorted(one for one in known if name.lower() in one.lower())[:3]
    return get_close_matches(name, known, n=3, cutoff=0.6) or holding


def _too_far(client: Client, reading: Row, time_ms: int) -> str:
    sql = "SELECT min(time) AS first, max(time) AS last FROM readings WHERE sensor_id = {sensor_id:String}"
    (span,) = _rows(client, sql, reading)
    first, last, nearest = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (span["first"], span["last"], reading["time"]))
    asked = f"{time_ms} ms"
    with suppress(OverflowError, ValueError):
        asked = f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"sensor {reading['sensor_id']!r} has no reading within a day of {asked}; those stored go from {first} to "
        f"{last}, the nearest is at {nearest}"
    )
