"""What the stored rows say: the figures the demo shows while it runs and at its end."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.clickhouse.client import Address, connect
from infra.clickhouse.query import query


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last moments.

    readings, anomalies: stored in the last 10 s of event time. newest_ms: event time of the newest stored reading,
    None when there is none. windows: closed so far. open_alerts: how many. alarms: (sensor, value with unit,
    detectors), newest first.
    """

    readings: int
    anomalies: int
    newest_ms: int | None
    windows: int
    open_alerts: int
    alarms: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything stored, as counted by the ledger. open_alerts: those of all that are not resolved."""

    messages: int
    readings: int
    on_time: int
    late: int
    duplicates: int
    rejected: int
    windows: int
    flagged: int
    faulty: int
    alerts: int
    open_alerts: int


@dataclass(frozen=True, slots=True)
class Rightness:
    """How one detector, all rules, all models, or the verdict did; precision, recall and f1 None without known faults.

    agreement: share of the readings on which it says what the verdict says.
    """

    name: str
    flagged: int
    agreement: float
    precision: float | None
    recall: float | None
    f1: float | None


class Story:
    """Asks ClickHouse."""

    def __init__(self, address: Address) -> None:
        self._client = connect(address)

    def pulse(self) -> Pulse:
        """How it goes. Raises ClickHouseError."""
        (readings, anomalies), *_ = self._rows(
            "SELECT count(), countIf(is_anomaly) FROM readings FINAL WHERE time > now64(3) - INTERVAL 10 SECOND"
        )
        alarms = self._rows(
            "SELECT sensor_id, concat(toString(round(value, 2)), ' ', unit), arrayStringConcat(flagged_by, ', ') "
            "FROM readings FINAL WHERE is_anomaly AND time > now64(3) - INTERVAL 1 MINUTE "
            "ORDER BY time DESC LIMIT 1 BY sensor_id LIMIT 5"
        )
        windows = self._one("SELECT count() FROM windows FINAL")
        _, opened = self._alerts()
        return Pulse(readings, anomalies, self.newest_ms(), windows, opened, tuple((a, b, c) for a, b, c in alarms))

    def _alerts(self) -> tuple[int, int]:
        """All there were, and those that are open."""
        (every, opened), *_ = self._rows("SELECT count(), countIf(state = 'open') FROM alerts FINAL")
        return every, opened

    def newest_ms(self) -> int | None:
        """Event time of the newest reading ever stored; None when there is none."""
        newest = self._one("SELECT max(time) FROM readings")
        return int(newest.timestamp() * 1000) if newest > _EPOCH else None

    def readings(self) -> int:
        """Readings stored, replays counted once."""
        count: int = self._one("SELECT count() FROM readings FINAL")
        return count

    def summary(self) -> Summary:
        """Everything. Raises ClickHouseError."""
        columns = "messages, readings, on_time, late, duplicates, rejected"
        sums = ", ".join(f"sum({name})" for name in columns.split(", "))
        messages, readings, on_time, late, duplicates, rejected = self._rows(f"SELECT {sums} FROM ledger FINAL")[0]
        (flagged, faulty), *_ = self._rows(
            "SELECT countIf(is_anomaly), countIf(label NOT IN ('', 'normal')) FROM readings FINAL"
        )
        windows = self._one("SELECT count() FROM windows FINAL")
        every, opened = self._alerts()
        return Summary(
            messages=messages,
            readings=readings,
            on_time=on_time,
            late=late,
            duplicates=duplicates,
            rejected=rejected,
            windows=windows,
            flagged=flagged,
            faulty=faulty,
            alerts=every,
            open_alerts=opened,
        )

    def comparison(self) -> list[Rightness]:
        """Rules beside models beside the verdict, the latter last. Raises ClickHouseError."""
        sql = "SELECT detector, flagged, agreement, precision, recall, f1 FROM detector_quality"
        rows = [Rightness(*row) for row in self._rows(sql)]
        return sorted(rows, key=lambda one: one.name.startswith("= "))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in query(self._client, sql).rows]

    def _one(self, sql: str) -> Any:
        return self._rows(sql)[0][0]


_EPOCH = datetime(1971, 1, 1, tzinfo=UTC)
