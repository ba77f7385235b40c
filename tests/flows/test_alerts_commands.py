"""`streamgauge alerts`: what people see of alerts, and what they do about them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from infra.clickhouse.alerts import Action, Silences, store
from infra.clickhouse.encode import to_arrow
from infra.clickhouse.insert import insert
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.alert_rows import Alert, alert_id, alert_rows
from tests.infra.clickhouse_support import database as migrated
from tests.infra.notify_support import change

T0_MS = 1_767_225_600_000
EVIDENCE = {
    "first": {
        "time": T0_MS,
        "value": 93.5,
        "flagged_by": ["level"],
        "scores": {"level": 7.5},
        "features": {"delta": 70},
    },
    "peak": {"time": T0_MS, "value": 93.5},
}


def alert(sensor: str, rule: str = "anomaly", **more: object) -> Alert:
    given = {
        "severity": "warning",
        "labels": {"sensor_id": sensor, "location": "hall"},
        "started_ms": T0_MS,
        "fired_ms": T0_MS,
        "updated_ms": T0_MS,
        "named_by": (sensor,),
        "reason": f"{sensor}: {rule} since then",
        "evidence": EVIDENCE,
    }
    return Alert(rule=rule, **(given | more))  # type: ignore[arg-type]


ALERTS = (
    alert("pump-1"),
    alert("pump-2"),
    alert("pump-3", updated_ms=T0_MS + 60_000, ended_ms=T0_MS + 60_000),
    alert(
        "", "location", labels={"location": "roof"}, severity="critical", inhibits=("anomaly",), started_ms=T0_MS - 1
    ),
    alert("fan", labels={"sensor_id": "fan", "location": "roof"}),
)
PUMP_1 = alert_id("anomaly", ("pump-1",), T0_MS)

Run = Callable[..., str]


@pytest.fixture
def run(clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[Run]:
    """`streamgauge alerts ...` over ALERTS; what it has printed."""
    with migrated(clickhouse.port) as (address, client):
        for rows in alert_rows(ALERTS):
            insert(client, "alerts", to_arrow(rows))
        env = {
            "STREAMGAUGE_CLICKHOUSE__PORT": str(clickhouse.port),
            "STREAMGAUGE_CLICKHOUSE__DATABASE": address.database,
            "STREAMGAUGE_DATA_DIR": str(tmp_path),
        }

        def call(*words: str, code: int = 0) -> str:
            done = CliRunner().invoke(app, ["alerts", *words], env=env)
            assert done.exit_code == code, done.output
            return done.output

        yield call


def statuses(text: str) -> dict[str, str]:
    """Status by the beginning of the reason."""
    lines = [line.split("│") for line in text.splitlines() if line.startswith("│")]
    return {cells[6].split(":")[0].strip(): cells[2].strip() for cells in lines}


def test_what_is_open_and_why_not_told(run: Run) -> None:
    assert statuses(run("list")) == {"pump-1": "open", "pump-2": "open", "": "open", "fan": "inhibited"}
    assert statuses(run("list", "--all", "--match", "sensor_id=pump-3")) == {"pump-3": "resolved"}
    assert "no open alerts" in run("list", "-m", "location=cellar")
    shown = run("show", PUMP_1[:12])
    for text in ("pump-1: anomaly since then", PUMP_1, "value 93.5", "scores: level 7.5", "features: delta 70"):
        assert text in shown


def test_acknowledge_and_silence_one_alert(run: Run) -> None:
    assert "acknowledged: pump-1" in run("ack", PUMP_1, "--by", "ada", "--comment", "on my way")
    assert statuses(run("list"))["pump-1"] == "acknowledged"
    run("silence", PUMP_1, "--for", "2h", "--by", "ada")
    assert statuses(run("list"))["pump-1"] == "silenced"
    shown = run("show", PUMP_1)
    assert "ack by ada at" in shown
    assert ": on my way" in shown
    assert "lifted: 1" in run("unsilence", PUMP_1)
    assert statuses(run("list"))["pump-1"] == "acknowledged"


def test_the_notifier_knows_what_somebody_has_in_hand(clickhouse: EmbeddedClickHouse) -> None:
    with migrated(clickhouse.port) as (address, client):
        for rows in alert_rows(ALERTS):
            insert(client, "alerts", to_arrow(rows))
        acked = Action(action="ack", at_ms=T0_MS, actor="ada", alert_id=PUMP_1)
        silenced = Action(action="silence", at_ms=T0_MS, actor="ada", matchers={"sensor_id": "fan"})
        store(client, [acked, silenced])
        known = Silences(address)
        mine, other = change("pump-1", alert_id=PUMP_1), change("fan")
        assert known.acknowledged(mine)
        assert not known.silenced(mine)
        assert known.silenced(other)
        assert not known.acknowledged(other)


def test_silence_labels_and_plan_maintenance(run: Run) -> None:
    run("maintenance", "-m", "location=hall", "--from", "2099-01-01T00:00:00Z", "--for", "4h", "--comment", "belt")
    assert statuses(run("list"))["pump-1"] == "open", "not yet"
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    run("maintenance", "-m", "location=hall", "-m", "rule=anomaly", "--from", begun, "--for", "4h")
    assert statuses(run("list")) == {"pump-1": "silenced", "pump-2": "silenced", "": "open", "fan": "inhibited"}
    listed = run("silences")
    assert "planned" in listed
    assert "belt" in listed
    assert "location=hall, rule=anomaly" in listed
    run("unsilence", "-m", "rule=anomaly", "-m", "location=hall")
    assert statuses(run("list"))["pump-1"] == "open"
    assert "lifted" in run("silences", "--all")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nothing"], "no alert has this id"),
        (["ack", ""], "several alerts"),
        (["silence", "--for", "1h"], "name one alert, or labels"),
        (["silence", "-m", "planet=earth", "--for", "1h"], "label of"),
        (["silence", "-m", "location=hall"], "say how long"),
        (["silence", "-m", "location=hall", "--for", "soon"], "duration"),
        (["maintenance", "-m", "location=hall", "--for", "1h"], "must be a time"),
        (
            ["maintenance", "-m", "location=hall", "--from", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
            "end",
        ),
        (["unsilence", "-m", "location=hall"], "no such silence"),
    ],
)
def test_mistakes_are_told_in_a_line(run: Run, words: list[str], said: str) -> None:
    assert said in " ".join(run(*words, code=2).split())


def test_silences_may_lie_over_each_other(clickhouse: EmbeddedClickHouse) -> None:
    with migrated(clickhouse.port) as (_, client):
        for at, until in ((1, "now64(3) + INTERVAL 1 HOUR"), (2, "'2026-01-01 00:00:00'")):
            client.command(
                "INSERT INTO alert_actions (action_id, at, action, matchers, until) VALUES "
                f"(generateUUIDv4(), '2026-01-01 00:00:0{at}', 'silence', '{{\"rule\": \"r\"}}', {until})"
            )
        assert [row[0] for row in client.query("SELECT state FROM silences ORDER BY at").result_rows] == [
            "active",
            "ended",
        ]
        assert client.command("SELECT count() FROM active_silences") == 1
