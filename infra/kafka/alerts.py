"""The topic of alerts: one JSON object for every change of an alert, keyed by its id, at least once."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from typing_extensions import override

from infra.kafka.client import Connection
from infra.kafka.outage import Outage
from infra.kafka.producer import Producer
from operators.batches import Rows

_SETTINGS = {
    "linger.ms": 2,
    # While Kafka is away they wait, as the rows of tables do.
    "delivery.timeout.ms": 0,
}
_NOW = 0
"""As a message's time stamp: the wall clock's, for a broker deletes by it, and alerts on history would go at once."""
_TIMES = ("started_at", "fired_at", "ended_at", "updated_at")


class AlertSink(FixedPartitionedSink[Rows, None]):
    """Takes (key, Rows) items of the table alerts.

    They are handed to Kafka at once; an epoch completes when it has them. What a replay repeats comes again under the
    same id: who reads the topic remembers what was told. outage: as of Producer.
    """

    def __init__(self, connection: Connection, topic: str, *, outage: Outage | None = None) -> None:
        self._connection = connection
        self._topic = topic
        self._outage = outage

    @override
    def list_parts(self) -> list[str]:
        return ["alerts"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":
        return _Part(Producer(self._connection, _SETTINGS, outage=self._outage), self._topic)


class _Part(StatefulSinkPartition[Rows, None]):
    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    @override
    def write_batch(self, values: list[Rows]) -> None:
        for rows in values:
            self._producer.produce_many(self._topic, messages(rows))

    @override
    def snapshot(self) -> None:
        self._producer.flush()

    @override
    def close(self) -> None:
        self._producer.close()


def messages(rows: Rows) -> list[tuple[bytes, bytes, int]]:
    """Rows of the table alerts as (key, value, time stamp) of messages."""
    return [(row["alert_id"].encode(), encode(row), _NOW) for row in rows.to_dicts()]


def encode(row: dict[str, Any]) -> bytes:
    """As JSON: the columns of the table but for `version`, times in RFC 3339, evidence as an object."""
    told = {name: value for name, value in row.items() if name not in ("version", "evidence")}
    times = {name: None if row[name] is None else _rfc3339(row[name]) for name in _TIMES}
    return msgspec.json.encode(told | times | {"evidence": msgspec.Raw(row["evidence"].encode())})


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
