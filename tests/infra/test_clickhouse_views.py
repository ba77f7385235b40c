"""The views analysts and dashboards read."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.infra.clickhouse_support import database


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse) -> Iterator[Client]:
    with database(clickhouse.port) as (_, client):
        yield client


def test_predictions_has_one_row_per_reading_and_detector(client: Client) -> None:
    reading = (
        "('a', '2026-01-01 00:00:00', 7.5, 'spike', true, {'z': 4, 'warming': nan}, ['z', 'stuck'], {'z': 2.5}, "
        """'{"z": "2026-01-01T00:00Z"}')"""
    )
    columns = "(sensor_id, time, value, label, is_anomaly, scores, flagged_by, surprises, model_versions)"
    for _ in range(2):  # delivered twice
        client.command(f"INSERT INTO readings {columns} VALUES {reading}")
    client.command("INSERT INTO readings (sensor_id, time) VALUES ('no detector', '2026-01-01 00:00:00')")
    sql = "SELECT sensor_id, value, label, is_anomaly, detector, raw_score, flagged FROM predictions ORDER BY detector"
    rows = client.query(sql).result_rows
    assert [row[4:] for row in rows if row[4] == "z"] == [("z", 4.0, True)]
    assert [(detector, flagged) for *_, detector, score, flagged in rows if score != score] == [
        ("stuck", True),
        ("warming", False),
    ]
    assert {tuple(row[:4]) for row in rows} == {("a", 7.5, "spike", True)}
    calibrated = client.query("SELECT surprise, model_version FROM predictions ORDER BY detector DESC").result_rows
    assert [tuple(row) for row in calibrated if row[0] == row[0]] == [(2.5, "2026-01-01T00:00Z")]
    assert {row[1] for row in calibrated} == {"", "2026-01-01T00:00Z"}


def judged(client: Client, second: int, label: str, flagged_by: str, *, rule: bool, model: bool) -> None:
    client.command(
        "INSERT INTO readings (sensor_id, time, label, scores, flagged_by, is_anomaly, rule_anomaly, model_anomaly, "
        f"sensor_type, location) VALUES ('a', '2026-01-01 00:00:{second:02}', '{label}', {{'z': 1, 'f': 1}}, "
        f"{flagged_by}, {model}, {rule}, {model}, 't', 'hall')"
    )


def test_detector_quality_against_the_truth_where_it_is_known(client: Client) -> None:
    for _ in range(2):  # delivered twice
        judged(client, 1, "spike", "['z', 'f']", rule=True, model=True)
        judged(client, 2, "spike", "['f']", rule=False, model=True)
        judged(client, 3, "normal", "['z']", rule=True, model=False)
        judged(client, 4, "", "['z', 'stuck']", rule=True, model=False)
        judged(client, 5, "normal", "[]", rule=False, model=False)
    sql = "SELECT detector, flagged, agreement, hits, false_alarms, precision, recall, f1 FROM detector_quality"
    found = {row[0]: tuple(row[1:]) for row in client.query(sql).result_rows}
    assert found == {
        "z": (3, 2 / 5, 1, 1, 1 / 2, 1 / 2, 2 / 4),
        "f": (2, 1.0, 2, 0, 1.0, 1.0, 1.0),
        "stuck": (1, 2 / 5, 0, 0, None, 0.0, 0.0),
        "= rules": (3, 2 / 5, 1, 1, 1 / 2, 1 / 2, 2 / 4),
        "= models": (2, 1.0, 2, 0, 1.0, 1.0, 1.0),
        "= verdict": (2, 1.0, 2, 0, 1.0, 1.0, 1.0),
    }
    (row,) = client.query("SELECT * FROM rules_and_models").result_rows
    assert row == ("t", "hall", 5, 1, 2, 1, 1, 2 / 5)


def act(client: Client, second: int, action: str, *, alert: str = "", matchers: str = "", until: str = "NULL") -> None:
    client.command(
        "INSERT INTO alert_actions (action_id, at, action, alert_id, matchers, until, actor) VALUES "
        f"(generateUUIDv4(), '2026-01-01 00:00:{second:02}', '{action}', '{alert}', '{matchers}', {until}, 'ada')"
    )


def current(client: Client) -> dict[str, tuple[bool, bool]]:
    rows = client.query("SELECT alert_id, acknowledged, silenced FROM alerts_current").result_rows
    return {alert: (acknowledged, silenced) for alert, acknowledged, silenced in rows}


def test_alerts_current_joins_what_people_did(client: Client) -> None:
    for alert, location, severity in (("a", "hall", "warning"), ("b", "hall", "critical"), ("c", "roof", "warning")):
        for version, state in ((1, "open"), (2, "resolved")):
            client.command(
                "INSERT INTO alerts (alert_id, started_at, version, location, severity, state) VALUES "
                f"('{alert}', '2026-01-01 00:00:00', {version}, '{location}', '{severity}', '{state}')"
            )
    assert current(client) == dict.fromkeys("abc", (False, False))
    assert client.command("SELECT DISTINCT state FROM alerts_current") == "resolved"

    act(client, 1, "ack", alert="a")
    act(client, 2, "silence", alert="b", until="now64(3) + INTERVAL 1 HOUR")
    assert current(client) == {"a": (True, False), "b": (False, True), "c": (False, False)}
    acks = client.query("SELECT acknowledged_by, acknowledged_at FROM alerts_current ORDER BY alert_id").result_rows
    assert [(by, at and at.isoformat()) for by, at in acks] == [
        ("ada", "2026-01-01T00:00:01+00:00"),
        ("", None),
        ("", None),
    ]

    act(client, 3, "unsilence", alert="b")
    act(client, 4, "silence", alert="c", until="'2026-01-01 00:01:00'")
    assert current(client) == {"a": (True, False), "b": (False, False), "c": (False, False)}, "undone; run out"

    act(client, 5, "silence", matchers='{"location": "hall", "severity": "warning"}')
    act(client, 6, "silence", matchers="{}")
    act(client, 7, "silence", matchers="no JSON")
    act(client, 8, "silence", matchers='{"planet": "earth"}')
    assert current(client) == {"a": (True, True), "b": (False, False), "c": (False, False)}

    act(client, 9, "unsilence", matchers='{"location": "hall", "severity": "warning"}')
    assert current(client)["a"] == (True, False)
