"""Alerts as they stand, and what people do about them: acknowledge, silence, plan maintenance. Append-only."""

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import Address, ClickHouseError, connect, explained
from infra.clickhouse.encode import to_arrow
from infra.clickhouse.insert import insert
from operators.alert_rows import Alert, alert_rows, fingerprint
from operators.batches import Rows

Row = dict[str, Any]

_ASK_EVERY_S = 5.0

LABELS = ("sensor_id", "sensor_type", "location", "asset_id", "rule", "severity")
"""What a silence can match."""


class Silenceable(Protocol):
    """An alert, as far as silences look at it. labels: those of LABELS that say something, rule and severity apart."""

    @property
    def alert_id(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What somebody did. Times are Unix milliseconds.

    alert_id: about one alert; matchers: about all with these labels. since_ms: of a silence, None for at once;
    until_ms: None for good.
    """

    action: Literal["ack", "silence", "maintenance", "unsilence", "comment"]
    at_ms: int
    actor: str
    alert_id: str = ""
    matchers: Mapping[str, str] = field(default_factory=dict)
    since_ms: int | None = None
    until_ms: int | None = None
    comment: str = ""


def store(client: Client, actions: Sequence[Action]) -> None:
    """Write them down. Raises ClickHouseError."""
    columns = {name: [getattr(one, name) for one in actions] for name in ("action", "actor", "alert_id", "comment")}
    columns |= {
        "action_id": [str(uuid.uuid4()) for _ in actions],
        "at": [one.at_ms for one in actions],
        "matchers": [matchers_text(one.matchers) for one in actions],
        "since": [one.since_ms for one in actions],
        "until": [one.until_ms for one in actions],
    }
    insert(client, "alert_actions", to_arrow(Rows("alert_actions", len(actions), dict(columns))))


def matchers_text(matchers: Mapping[str, str]) -> str:
    """Always the same text for the same labels, for what lifts a silence must name them alike; "" for none."""
    return json.dumps(dict(sorted(matchers.items())), ensure_ascii=False) if matchers else ""


def current(
    client: Client, *, matching: Mapping[str, str], resolved: bool, since_ms: int = 0, limit: int = 100
) -> list[Row]:
    """Alerts with these labels, with what was done about them, newest first; also those that are over, or only others.

    since_ms: those that were open then or later. Raises ClickHouseError.
    """
    conditions = [f"{name} = {{{name}:String}}" for name in matching]
    conditions.append("true" if resolved else "state = 'open'")
    conditions.append("ifNull(toUnixTimestamp64Milli(ended_at) >= {since:Int64}, true)")
    sql = (
        f"SELECT * FROM alerts_current WHERE {' AND '.join(conditions)} "
        f"ORDER BY started_at DESC, alert_id LIMIT {int(limit)}"
    )
    return _rows(client, sql, {**matching, "since": since_ms})


def named(client: Client, beginning: str) -> list[Row]:
    """Alerts whose id begins so. Raises ClickHouseError."""
    sql = "SELECT * FROM alerts_current WHERE startsWith(alert_id, {id:String}) ORDER BY started_at DESC LIMIT 10"
    return _rows(client, sql, {"id": beginning})


def actions_on(client: Client, alert_id: str) -> list[Row]:
    """What was done about one alert, in order of time. Raises ClickHouseError."""
    return _rows(client, "SELECT * FROM alert_actions_final WHERE alert_id = {id:String} ORDER BY at", {"id": alert_id})


def silences(client: Client, *, ended: bool) -> list[Row]:
    """Silences that are active or planned, by their beginning; also those that are over. Raises ClickHouseError."""
    wanted = "true" if ended else "state IN ('active', 'planned')"
    return _rows(client, f"SELECT * FROM silences WHERE {wanted} ORDER BY since, action_id", {})


def open_health(client: Client, fingerprint: str) -> list[int]:
    """When those alerts of health began that are open under this fingerprint, Unix ms. Raises ClickHouseError."""
    sql = (
        "SELECT toUnixTimestamp64Milli(started_at) AS started_ms FROM alerts_final "
        "WHERE source = 'health' AND state = 'open' AND startsWith(alert_id, {id:String}) ORDER BY started_ms"
    )
    return [row["started_ms"] for row in _rows(client, sql, {"id": f"{fingerprint}-"})]


def open_rules(client: Client, beginning: str, subject: str) -> list[str]:
    """Rules of alerts of health on a subject that begin so and are open. Raises ClickHouseError."""
    sql = (
        "SELECT DISTINCT toString(rule) AS rule, alert_id FROM alerts_final "
        "WHERE source = 'health' AND state = 'open' AND startsWith(rule, {beginning:String}) ORDER BY rule"
    )
    found = _rows(client, sql, {"beginning": beginning})
    return [row["rule"] for row in found if row["alert_id"].startswith(fingerprint(row["rule"], (subject,)))]


def store_alerts(client: Client, alerts: Sequence[Alert]) -> None:
    """Insert them; one stored again replaces itself. Raises ClickHouseError."""
    for rows in alert_rows(alerts):
        insert(client, "alerts", to_arrow(rows))


def _rows(client: Client, sql: str, parameters: Row) -> list[Row]:
    with explained("the alerts", client):
        return list(client.query(sql, parameters=parameters).named_results())


_ACKNOWLEDGED = (
    "SELECT DISTINCT alert_id FROM alert_actions_final WHERE action = 'ack' AND alert_id IN "
    "(SELECT alert_id FROM alerts_final WHERE state = 'open')"
)


class Silences:
    """What people want to hear nothing of, asked every few seconds from now on; safe to use from several threads, none
    of which waits but for the first answer.

    While ClickHouse is away the last answer holds: rather an alert too many than one too few.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._asked = threading.Event()
        self._active: list[tuple[str, dict[str, str]]] = []
        self._acknowledged: frozenset[str] = frozenset()
        threading.Thread(target=self._ask_on, name="silences", daemon=True).start()

    def silenced(self, alert: Silenceable) -> bool:
        """Whether a silence names it, or fits all of its labels."""
        labels = {"rule": alert.rule, "severity": alert.severity, **alert.labels}
        return any(
            alert_id == alert.alert_id if alert_id else bool(wanted) and wanted.items() <= labels.items()
            for alert_id, wanted in self._current()
        )

    def acknowledged(self, alert: Silenceable) -> bool:
        """Whether somebody has it in hand."""
        self._current()
        return alert.alert_id in self._acknowledged

    def _current(self) -> list[tuple[str, dict[str, str]]]:
        self._asked.wait()
        return self._active

    def _ask_on(self) -> None:
        while True:
            try:
                with suppress(ClickHouseError):
                    self._ask()
            finally:
                self._asked.set()
            time.sleep(_ASK_EVERY_S)

    def _ask(self) -> None:
        with connect(self._address) as client:
            rows = _rows(client, "SELECT alert_id, matchers FROM active_silences", {})
            active = [(row["alert_id"], _matchers(row["matchers"])) for row in rows]
            rows = _rows(client, _ACKNOWLEDGED, {})
        self._active, self._acknowledged = active, frozenset(row["alert_id"] for row in rows)


def _matchers(text: str) -> dict[str, str]:
    with suppress(ValueError):
        found = json.loads(text or "{}")
        return found if isinstance(found, dict) else {}
    return {}
