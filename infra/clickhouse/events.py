"""Rows of `events` by the wall clock: written beside the flow, by those who watch it."""

from collections.abc import Sequence
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from infra.clickhouse.encode import to_arrow
from infra.clickhouse.insert import insert
from operators.batches import Rows


class Event(NamedTuple):
    """time_ms: Unix milliseconds."""

    time_ms: int
    kind: str
    subject: str
    detail: str


def store(client: Client, events: Sequence[Event]) -> None:
    """Insert them; one stored again replaces itself. Raises ClickHouseError."""
    columns = {name: [getattr(event, name) for event in events] for name in ("kind", "subject", "detail")}
    times = [event.time_ms for event in events]
    insert(client, "events", to_arrow(Rows("events", len(events), {"time": times, **columns})))


def open_silences(client: Client) -> list[str]:
    """Subjects whose last word was that they are silent. Raises ClickHouseError."""
    with explained("what is silent", client):
        rows = client.query(
            "SELECT subject FROM events_final WHERE kind IN ('silent', 'heard_again') "
            "GROUP BY subject HAVING argMax(kind, (time, kind = 'silent')) = 'silent'"
        ).result_rows
    return [str(subject) for (subject,) in rows]


def last_counted_s(client: Client, topics: Sequence[str]) -> float:
    """Unix time at which a flow last stored what it had counted of these topics; 0 for never. Raises ClickHouseError.

    The ledger is small and written whenever event time passes the end of a pane; the readings would take a long look.
    """
    with explained("when the flow last counted", client):
        rows = client.query(
            "SELECT toUnixTimestamp(max(stored_at)) FROM ledger WHERE topic IN {topics:Array(String)}",
            parameters={"topics": list(topics)},
        ).result_rows
    return float(rows[0][0])
