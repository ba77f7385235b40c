"""What was refused: grouped, in full, and what of it was sent once more."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from infra.clickhouse.events import Event, store

_KIND = "redrive"
"""Of the rows in `events` that say which dead letters were sent once more."""
_SUBJECT = "concat(topic, '/', toString(partition), '/', toString(offset), '/', toString(idx))"
_REDRIVEN = f"(SELECT subject FROM events WHERE kind = '{_KIND}')"
_CHOSEN = (
    "(empty({reason:String}) OR reason = {reason:String}) AND kafka_time >= fromUnixTimestamp64Milli({since_ms:Int64})"
)


class Group(NamedTuple):
    """Dead letters of one reason. example: what one of them says."""

    reason: str
    letters: int
    redriven: int
    topics: list[str]
    first: datetime
    last: datetime
    example: str


class Letter(NamedTuple):
    """One dead letter. payload: as stored, which may be cut: payload_bytes is its whole size."""

    topic: str
    partition: int
    offset: int
    idx: int
    time: str
    reason: str
    detail: str
    payload: str
    payload_bytes: int

    @property
    def place(self) -> str:
        """What names it."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.idx}"

    @property
    def whole(self) -> bool:
        """Whether the stored payload is what was sent, byte for byte."""
        return len(self.payload.encode()) == self.payload_bytes


def groups(client: Client, *, reason: str = "", since_ms: int = 0) -> list[Group]:
    """By reason, most frequent first. Raises ClickHouseError."""
    sql = (
        f"SELECT reason, count() AS n, countIf({_SUBJECT} IN {_REDRIVEN}), groupUniqArray(10)(topic), "
        f"min(kafka_time), max(kafka_time), any(detail) FROM dead_letters_final WHERE {_CHOSEN} "
        "GROUP BY reason ORDER BY n DESC"
    )
    with explained("the dead letters", client):
        rows = client.query(sql, parameters={"reason": reason, "since_ms": since_ms}).result_rows
    return [Group(*row) for row in rows]


def letters(
    client: Client, *, reason: str = "", since_ms: int = 0, limit: int, places: Sequence[str] = (), again: bool = False
) -> list[Letter]:
    """In order of their coming. places: only these. again: also those sent once more. Raises ClickHouseError."""
    sql = (
        "SELECT topic, partition, offset, idx, toString(kafka_time), reason, detail, payload, payload_bytes "
        f"FROM dead_letters_final WHERE {_CHOSEN} "
        f"AND (empty({{places:Array(String)}}) OR {_SUBJECT} IN {{places:Array(String)}}) "
        f"AND ({{again:Bool}} OR {_SUBJECT} NOT IN {_REDRIVEN}) "
        "ORDER BY kafka_time, topic, partition, offset, idx LIMIT {limit:UInt64}"
    )
    given = {"reason": reason, "since_ms": since_ms, "limit": limit, "places": list(places), "again": again}
    with explained("the dead letters", client):
        rows = client.query(sql, parameters=given).result_rows
    return [Letter(*row) for row in rows]


def mark_redriven(client: Client, places: Sequence[str], *, now_ms: int) -> None:
    """Note that these were sent once more. Raises ClickHouseError."""
    store(client, [Event(now_ms, _KIND, place, "sent once more") for place in places])
