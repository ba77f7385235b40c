"""Deleting what is stored about one sensor: in every table, for good, with the audit still right.

The ledger goes on counting the readings that were there; how many of a stretch of offsets were taken away is written
into `events` (kind `forgotten`), without the sensor's name, and the audit adds it to what is stored.
"""

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from infra.clickhouse.cluster import local_name
from infra.clickhouse.events import Event, store
from operators.intake import LEDGER_BUCKET

_DELETED = {
    # Before the alerts, which say whose they are.
    "alert_actions": "has({alerts}::Array(String), alert_id) OR JSONExtractString(matchers, 'sensor_id') = {sensor}",
    "readings": "sensor_id = {sensor}",
    "windows": "sensor_id = {sensor}",
    "data_quality": "sensor_id = {sensor}",
    "alerts": "sensor_id = {sensor}",
    "events": "subject = {sensor} OR endsWith(subject, concat(' of ', {sensor}))",
    "dead_letters": "position(payload, {quoted}) > 0",
    "sensors": "sensor_id = {sensor}",
}
"""Rows that go, by the table."""
_EMPTIED = {
    "asset_verdicts": (
        "mapContains(shares, {sensor})",
        "shares = mapFilter((name, share) -> name != {sensor}, shares)",
    ),
    "alerts": ("sensor_id != {sensor} AND position(evidence, {quoted}) > 0", "evidence = ''"),
}
"""Rows about more than this sensor: which, and what is taken out of them."""

_TALLY = """
SELECT topic, partition, bucket, max(at), sum(on_time), sum(late), sum(rejected) FROM
(
    SELECT topic, partition, intDiv(offset, {length}) * {length} AS bucket, max(time) AS at,
        countIf(quality NOT IN ('late', 'after_idle')) AS on_time, count() - on_time AS late, 0 AS rejected
    FROM readings FINAL WHERE {readings} GROUP BY topic, partition, bucket
    UNION ALL
    SELECT topic, partition, intDiv(offset, {length}) * {length} AS bucket, max(kafka_time), 0, 0, count()
    FROM dead_letters FINAL WHERE {dead_letters} GROUP BY topic, partition, bucket
)
GROUP BY topic, partition, bucket
"""


@dataclass(frozen=True, slots=True)
class Share:
    """What a table holds of a sensor. emptied: the rows stay, for they are about others, too."""

    table: str
    rows: int
    emptied: bool = False


def look(client: Client, sensor: str) -> list[Share]:
    """What there is of a sensor, by table; tables without any are left out. Raises ClickHouseError."""
    wanted = [(table, where, False) for table, where in _DELETED.items()]
    wanted += [(table, where, True) for table, (where, _) in _EMPTIED.items()]
    found = []
    with explained(f"what is stored of {sensor}", client):
        about = _About(client, sensor)
        for table, where, emptied in wanted:
            sql = f"SELECT count() FROM {table} FINAL WHERE {about(where)}"
            found.append(Share(table, int(client.query(sql).result_rows[0][0]), emptied))
    return [share for share in found if share.rows]


def forget(client: Client, sensor: str, *, cluster: str = "") -> None:
    """Delete it; returns when it is gone from the disks. What broke off is done again from the start.

    cluster: on whose servers. Raises ClickHouseError.
    """
    with explained(f"deleting {sensor}", client):
        about = _About(client, sensor)
        store(client, _forgotten(client, sensor, about))
        for table, (where, change) in _EMPTIED.items():
            _alter(client, table, f"UPDATE {about(change)} WHERE {about(where)}", cluster)
        for table, where in _DELETED.items():
            _alter(client, table, f"DELETE WHERE {about(where)}", cluster)


class _About:
    """Conditions with the sensor written out: a server keeps a mutation as text, without parameters or subqueries."""

    def __init__(self, client: Client, sensor: str) -> None:
        mine = client.query(f"SELECT DISTINCT alert_id FROM alerts WHERE sensor_id = {_literal(sensor)}").result_rows
        self._texts = {
            "{alerts}": f"[{', '.join(_literal(str(row[0])) for row in mine)}]",
            "{sensor}": _literal(sensor),
            "{quoted}": _literal(f'"{sensor}"'),
        }

    def __call__(self, sql: str) -> str:
        return re.sub(r"\{\w+\}", lambda found: self._texts[found[0]], sql)


def _forgotten(client: Client, sensor: str, about: _About) -> list[Event]:
    """What the audit must know. Made again of the same rows an event is the same, and is there once."""
    given = {name: about(_DELETED[name]) for name in ("readings", "dead_letters")}
    rows: list[Any] = list(client.query(_TALLY.format(length=LEDGER_BUCKET, **given)).result_rows)
    # Tells two sensors apart, and names none.
    mark = f"{zlib.crc32(sensor.encode()):08x}"
    return [
        Event(
            round(at.timestamp() * 1000),
            "forgotten",
            f"{topic}/{partition}/{bucket}/{mark}",
            json.dumps({"on_time": on_time, "late": late, "rejected": rejected}),
        )
        for topic, partition, bucket, at, on_time, late, rejected in rows
    ]


def _alter(client: Client, table: str, change: str, cluster: str) -> None:
    place = f"{local_name(table)} ON CLUSTER `{cluster}`" if cluster else table
    client.command(f"ALTER TABLE {place} {change}", settings={"mutations_sync": 2})


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
