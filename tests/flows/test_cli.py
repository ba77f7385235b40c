"""The command without a stream: help, mistakes, what it says of configuration, flows and services."""

import csv
import io
import json
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import COMMANDS, app
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.flows.commands import ROOT, streamgauge
from tests.kafka import new_topic
from tests.operators.payloads import NOW_MS, reading
from tests.running import Site, create_tables, produce_payloads

HEAVY = {"bytewax", "clickhouse_connect", "confluent_kafka", "numba", "numpy", "pyarrow", "river"}


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse) -> Site:
    """Running services, a topic, and a database without tables."""
    home = tmp_path / "home"
    home.mkdir()
    return Site(
        home=home,
        bootstrap=broker.bootstrap,
        topic=new_topic(broker, partitions=2),
        clickhouse_port=clickhouse.port,
        database=f"cli_{uuid.uuid4().hex[:8]}",
    )


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings that point at services nobody runs."""
    with socket.socket() as taken:  # bound but not listening: nobody else gets it, nobody answers
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        home = tmp_path_factory.mktemp("nowhere")
        yield {
            "STREAMGAUGE_DATA_DIR": str(home),
            "STREAMGAUGE_WORKER__RECOVERY_DIR": str(home / "recovery"),
            "STREAMGAUGE_KAFKA__BOOTSTRAP": f"127.0.0.1:{port}",
            "STREAMGAUGE_CLICKHOUSE__PORT": str(port),
        }


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["db", "init"], ["db", "status"]], ids=" ".join)
def test_help_of_every_command_shows_an_example(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.stdout
    assert f"streamgauge {words[0]}" in shown.stdout


def test_help_waits_for_no_heavy_import() -> None:
    code = "import sys, flows.cli; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(run.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "no_such_flow"], "there is no file flows/no_such_flow.py"),
        (["run", "no/such/flow.py"], "no such file"),
        (["run", "settings"], "no function build"),
        (["--config", "no_such.toml", "explain"], "no_such.toml: no such file"),
        (["query", "SELECT 1"], "does not answer"),
        (["db", "init"], "does not answer"),
        (["replay", "no_such.csv"], "no_such.csv"),
        (["simulate", "--seconds", "1"], "Kafka does not answer"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, nowhere: dict[str, str]) -> None:
    assert_one_line(streamgauge(*arguments, env=nowhere), says)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("EVENT_TIME__LATENESS", "soon", "event_time.lateness = 'soon': expected a duration"),
        ("KAFKA__START", "yesterday", 'kafka.start = "yesterday"'),
        ("WORKER__EPOCH", "1500ms", "must be whole seconds"),
        ("KAFKA__NO_SUCH_FIELD", "1", "no_such_field"),
        ("SIMULATE__RATE", "-1", "simulate.rate"),
    ],
)
def test_a_wrong_setting_is_one_line(variable: str, value: str, says: str, site: Site) -> None:
    create_tables(site)
    run = streamgauge("run", "sensors", "--until-end", env=site.environment | {f"STREAMGAUGE_{variable}": value})
    assert_one_line(run, says)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no_such_command"],
        ["run"],
        ["run", "sensors", "--close"],
        ["demo", "--history", "soon"],
        ["query", "-f", "xml"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 2
    assert "Usage" in shown.stderr


def test_db_init_and_status(site: Site) -> None:
    before = streamgauge("db", "status", env=site.environment)
    assert before.returncode == 1
    assert "pending" in before.stdout
    first = streamgauge("db", "init", env=site.environment)
    assert first.returncode == 0
    assert "applied 0001" in first.stdout
    again = streamgauge("db", "init", env=site.environment)
    assert (again.returncode, "applied" in again.stdout) == (0, False)
    after = streamgauge("db", "status", env=site.environment)
    assert after.returncode == 0
    assert "the tables fit this release" in after.stdout


def test_query_prints_tables_csv_and_json(site: Site) -> None:
    create_tables(site)
    sql = "SELECT 1 AS one, 'a, b' AS text, toDateTime64('2026-01-01 00:00:00.5', 3, 'UTC') AS at, [1, 2] AS list"
    table = streamgauge("query", sql, env=site.environment)
    assert "a, b" in table.stdout
    assert "2026-01-01 00:00:00.500" in table.stdout
    in_csv = streamgauge("query", "-f", "csv", sql, env=site.environment)
    [row] = csv.DictReader(io.StringIO(in_csv.stdout))
    assert (list(row), row["text"]) == (["one", "text", "at", "list"], "a, b")
    in_json = streamgauge("query", "-f", "json", sql, env=site.environment)
    assert json.loads(in_json.stdout) == {
        "one": 1,
        "text": "a, b",
        "at": "2026-01-01T00:00:00.500+00:00",
        "list": [1, 2],
    }
    many = streamgauge("query", "--limit", "3", "-f", "csv", "SELECT number FROM numbers(10)", env=site.environment)
    assert many.stdout.split() == ["number", "0", "1", "2"]
    assert "raise --limit" in many.stderr


@pytest.mark.parametrize(
    ("sql", "says"),
    [("SELEC 1", "syntax"), ("SELECT * FROM no_such", "no_such"), ("DROP TABLE readings", "only reading is allowed")],
)
def test_wrong_sql_is_one_line(sql: str, says: str, site: Site) -> None:
    create_tables(site)
    assert_one_line(streamgauge("query", sql, env=site.environment), says)


def test_an_unknown_topic_is_one_line_for_a_producer(site: Site) -> None:
    env = site.environment | {"STREAMGAUGE_KAFKA__TOPICS": '["no-such-topic"]'}
    assert_one_line(streamgauge("simulate", "--seconds", "1", env=env), "no-such-topic: no such topic")


def test_check_says_ok_or_what_to_do(site: Site, nowhere: dict[str, str]) -> None:
    without_tables = streamgauge("check", env=site.environment)
    assert without_tables.returncode == 1
    assert "streamgauge db init" in without_tables.stdout
    create_tables(site)
    fine = streamgauge("check", env=site.environment)
    assert fine.returncode == 0, fine.stdout
    assert {line.split()[0] for line in fine.stdout.splitlines()} == {"ok"}
    assert f"topic {site.topic}" in fine.stdout
    produce_payloads(site.bootstrap, site.topic, [reading()], kafka_ms=NOW_MS)
    keyless = streamgauge("check", env=site.environment)
    assert "messages without a key" in keyless.stdout
    wrong = streamgauge("check", env=nowhere)
    assert wrong.returncode == 1
    refused = [line for line in wrong.stdout.splitlines() if line.startswith("wrong")]
    assert len(refused) == 2
    assert "kafka.bootstrap" in refused[0]
    assert "clickhouse.port" in refused[1]
    broken = streamgauge("check", env=site.environment | {"STREAMGAUGE_EVENT_TIME__LATENESS": "soon"})
    assert (broken.returncode, broken.stdout.count("\n")) == (1, 1)
    assert "event_time.lateness" in broken.stdout


def test_explain_draws_the_flow_and_hides_secrets(tmp_path: Path) -> None:
    config = tmp_path / "streamgauge.toml"
    config.write_text('[kafka]\nbootstrap = "kafka.example:9092"\npassword = "hunter2"\n')
    env = {"STREAMGAUGE_CLICKHOUSE__PASSWORD": "hunter3", "STREAMGAUGE_EVENT_TIME__LATENESS": "5s"}
    shown = streamgauge("--config", config, "explain", env=env)
    assert shown.returncode == 0
    for step in ("source", "clock", "sensors", "windows", "tables"):
        assert step in shown.stdout
    settings = {words[0]: words[1:] for line in shown.stdout.splitlines() if len(words := line.split()) >= 3}
    assert settings["kafka.bootstrap"] == ["kafka.example:9092", "file"]
    assert settings["event_time.lateness"] == ["5s", "environment"]
    assert settings["worker.epoch"] == ["10s", "default"]
    assert settings["clickhouse.password"] == ["***", "environment"]
    assert "hunter" not in shown.stdout + shown.stderr


DEAR = """
[[detectors]]
name = "own"
kind = "river.anomaly.LODA"
features = ["value", "delta"]

[[detectors]]
name = "trees"
kind = "river.anomaly.HalfSpaceTrees"
drift = {}
"""


def test_explain_says_what_runs_for_a_detector_and_check_what_it_costs(tmp_path: Path, nowhere: dict[str, str]) -> None:
    config = tmp_path / "streamgauge.toml"
    config.write_text(DEAR)
    shown = " ".join(streamgauge("--config", config, "explain", env=nowhere | {"COLUMNS": "200"}).stdout.split())
    assert "own model river.anomaly.LODA by the adapter, one object per sensor value, delta" in shown
    assert "trees model models.half_space_trees.HalfSpaceTrees (compiled twin of river.anomaly.HalfSpaceTrees)" in shown
    assert "drift models.page_hinkley.PageHinkley (compiled twin of river.drift.PageHinkley) surprise of trees" in shown
    checked = streamgauge("--config", config, "check", env=nowhere).stdout
    assert re.search(r"look +detector own: [\d,]+ bytes a sensor in memory, [\d,]+ in a snapshot; for 10,000", checked)


@pytest.mark.parametrize(
    ("detector", "says"),
    [
        ("kind = 'models.nothing.Here'", "detector d: models.nothing.Here: no module"),
        ("kind = 'models.rolling_z.RollingZ'\nfeatures = ['vlue']", "detector d: no feature 'vlue'; there are value,"),
        (
            "kind = 'models.rolling_z.RollingZ'\ndrift = { kind = 'river.drift.Nothing' }",
            "detector d: river.drift.Nothing",
        ),
    ],
)
def test_a_wrong_detector_is_one_line_at_the_start(
    tmp_path: Path, nowhere: dict[str, str], detector: str, says: str
) -> None:
    config = tmp_path / "streamgauge.toml"
    config.write_text(f"[[detectors]]\nname = 'd'\n{detector}\n")
    checked = streamgauge("--config", config, "check", env=nowhere)
    assert checked.returncode == 1
    assert f"wrong detectors: {says}" in checked.stdout


def test_a_flow_of_ones_own_runs_from_its_file(site: Site) -> None:
    create_tables(site)
    places = ["hall"] * 3 + ["yard"]
    payloads = [reading(location=place, timestamp=NOW_MS + i) for i, place in enumerate(places)]
    produce_payloads(site.bootstrap, site.topic, payloads, kafka_ms=NOW_MS)
    file = ROOT / "docs" / "examples" / "readings_by_location.py"
    first = streamgauge("run", file, "--until-end", env=site.environment)
    assert first.returncode == 0, first.stderr
    assert sorted(first.stdout.splitlines()) == ["hall: 3", "yard: 1"]
    produce_payloads(site.bootstrap, site.topic, payloads[:1], kafka_ms=NOW_MS)
    again = streamgauge("run", file.relative_to(ROOT), "--until-end", env=site.environment)
    assert again.stdout.splitlines() == ["hall: 4"], again.stderr
    other = streamgauge("run", "sensors", "--until-end", env=site.environment)
    assert_one_line(other, "was made with flow = readings_by_location")


def assert_one_line(run: subprocess.CompletedProcess[str], says: str) -> None:
    """It ended with 1 and one line that says so."""
    assert run.returncode == 1, run
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("error ")
    assert says in run.stderr
