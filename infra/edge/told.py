"""What a device tells of its verdicts and windows: JSON into topics of its log, at least once."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from typing_extensions import override

from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from operators.batches import Labels, Lists, Maps, Rows

_SETTINGS = {"linger.ms": 2, "delivery.timeout.ms": 0}
_NOW = 0
Message = tuple[bytes, bytes, int]
"""Key, value, time stamp."""

VERDICT = (
    *("sensor_id", "sensor_type", "location", "asset_id", "unit", "time", "value", "quality", "score"),
    *("rule_anomaly", "model_anomaly", "out_of_range", "stuck", "flagged_by", "expected_low", "expected_high"),
)
_WINDOW_LEFT_OUT = ("generation",)


class ToldSink(FixedPartitionedSink[Rows, None]):
    """Takes (key, Rows) items of any table. topics: of a table, the topic, and how its rows become messages.

    They are handed over at once; an epoch completes when the broker has them.
    """

    def __init__(
        self, connection: Connection, topics: Mapping[str, tuple[str, Callable[[Rows], list[Message]]]]
    ) -> None:
        self._connection = connection
        self._topics = topics

    @override
    def list_parts(self) -> list[str]:
        return ["told"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ToldPart":
        return ToldPart(Producer(self._connection, _SETTINGS), self._topics)


class ToldPart(StatefulSinkPartition[Rows, None]):
    """See ToldSink."""

    def __init__(self, producer: Producer, topics: Mapping[str, tuple[str, Callable[[Rows], list[Message]]]]) -> None:
        self._producer = producer
        self._topics = topics

    @override
    def write_batch(self, values: list[Rows]) -> None:
        for rows in values:
            if rows.table in self._topics:
                topic, messages = self._topics[rows.table]
                self._producer.produce_many(topic, messages(rows))

    @override
    def snapshot(self) -> None:
        self._producer.flush()

    @override
    def close(self) -> None:
        self._producer.close()


def verdicts(rows: Rows) -> list[Message]:
    """Of rows of `readings`, those with a verdict against them."""
    flagged = np.flatnonzero(np.asarray(rows.columns["is_anomaly"], dtype=bool))
    if not len(flagged):
        return []
    picked = {name: _picked(rows.columns[name], flagged) for name in VERDICT if name in rows.columns}
    return [(row["sensor_id"].encode(), _json(row, ("time",)), _NOW) for row in _rows(picked, len(flagged))]


def windows(rows: Rows) -> list[Message]:
    """Rows of `windows`, keyed by their group."""
    told = [{name: value for name, value in row.items() if name not in _WINDOW_LEFT_OUT} for row in rows.to_dicts()]
    groups = ("window", "sensor_id", "location", "sensor_type", "asset_id")
    return [
        ("/".join(str(row.get(g, "")) for g in groups).encode(), _json(row, ("start", "end")), _NOW) for row in told
    ]


def _picked(column: Any, at: Any) -> list[Any]:
    if isinstance(column, (str, int)):
        return [column] * len(at)
    if isinstance(column, Labels):
        return [column.values[code] for code in column.codes[at].tolist()]
    if isinstance(column, Lists):
        return Lists(column.names, column.chosen[at]).tolist()
    if isinstance(column, (list, Maps)):
        whole = column if isinstance(column, list) else column.tolist()
        return [whole[one] for one in at.tolist()]
    values: list[Any] = column[at].tolist()
    return values


def _rows(columns: Mapping[str, list[Any]], length: int) -> list[dict[str, Any]]:
    return [{name: values[row] for name, values in columns.items()} for row in range(length)]


def _json(row: Mapping[str, Any], times: tuple[str, ...]) -> bytes:
    """NaN becomes null, times RFC 3339."""
    return msgspec.json.encode({**row, **{name: _rfc3339(row[name]) for name in times}})


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
