"""Migrations, retention and the start-up check against a live ClickHouse."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse import migrate, schema_check
from infra.clickhouse.client import Address, ClickHouseError, connect
from infra.clickhouse.migrate import Retention
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.records import TABLES
from tests.infra.clickhouse_support import database

DAY_MS = 86_400_000


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse) -> Iterator[Client]:
    with database(clickhouse.port) as (_, client):
        yield client


@pytest.fixture
def empty(clickhouse: EmbeddedClickHouse) -> Iterator[Client]:
    """A client of a database that does not exist yet."""
    client = connect(Address(port=clickhouse.port, database="test_not_there_yet"))
    yield client
    client.command("DROP DATABASE IF EXISTS test_not_there_yet", use_database=False)
    client.close()


def test_the_migrations_make_the_schema_of_records(client: Client) -> None:
    sql = "SELECT table, name, type, comment FROM system.columns WHERE database = {db:String} ORDER BY table, position"
    live: dict[str, list[tuple[str, str, str]]] = {}
    for table, *column in client.query(sql, parameters={"db": client.database}).result_rows:
        live.setdefault(table, []).append(tuple(column))
    for table in TABLES.values():
        wanted = [(column.name, column.type, column.doc) for column in table.columns]
        stored = ("stored_at", "DateTime", "when this row was stored; retention counts from here")
        assert live[table.name] == [*wanted, stored]
        assert [column[:2] for column in live[f"{table.name}_final"]] == [column[:2] for column in wanted]
    assert schema_check.differences(client) == []
    sql = "SELECT name, comment FROM system.tables WHERE database = {db:String} AND engine != 'View'"
    comments = {row[0]: row[1] for row in client.query(sql, parameters={"db": client.database}).result_rows}
    assert {name: comments[name] for name in TABLES} == {name: table.doc for name, table in TABLES.items()}


def test_init_creates_everything_once(empty: Client) -> None:
    assert [state.state for state in migrate.status(empty)] == ["pending"] * len(migrate.migrations())
    with pytest.raises(ClickHouseError, match="streamgauge db init"):
        schema_check.check(empty)
    done = migrate.init(empty)
    assert done == [
        "created database test_not_there_yet",
        *(f"applied {migration.name}" for migration in migrate.migrations()),
    ]
    assert migrate.init(empty) == []
    assert {state.state for state in migrate.status(empty)} == {"applied"}
    schema_check.check(empty)


def test_an_edited_migration_is_refused(client: Client, tmp_path: Path) -> None:
    folder = copytree(migrate.FOLDER, tmp_path / "migrations")
    edited = folder / "0003_predictions.sql"
    edited.write_text(edited.read_text() + "-- one more line\n")
    (folder / "0099_later.sql").write_text("CREATE VIEW one AS SELECT 1;\n")
    states = {state.name: state.state for state in migrate.status(client, folder=folder) if state.state != "applied"}
    assert states == {"0003_predictions.sql": "edited", "0099_later.sql": "pending"}
    with pytest.raises(ClickHouseError, match=r"0003_predictions.sql was edited .* next number"):
        migrate.init(client, folder=folder)
    assert client.command("EXISTS one") == 0


def test_a_migration_of_a_later_release_is_known_as_such(client: Client, tmp_path: Path) -> None:
    folder = copytree(migrate.FOLDER, tmp_path / "migrations")
    (folder / "0099_later.sql").write_text("ALTER TABLE readings ADD COLUMN more String;\n-- two\nSELECT 1;\n")
    assert migrate.init(client, folder=folder) == ["applied 0099_later.sql"]
    assert migrate.status(client)[-1] == migrate.MigrationState(99, "0099_later.sql", "newer")
    assert migrate.init(client) == []
    schema_check.check(client)


def test_retention_follows_the_configuration(client: Client) -> None:
    retention = Retention(readings_ms=DAY_MS, windows_ms=10 * DAY_MS, others_ms=2 * DAY_MS)
    done = migrate.init(client, retention=retention)
    assert len(done) == len(TABLES) - 1
    assert {"rows of readings are kept for 1 days", "rows of windows are kept for 10 days"} <= set(done)
    assert migrate.init(client, retention=retention) == []
    assert "TTL stored_at + toIntervalSecond(864000)" in str(client.command("SHOW CREATE TABLE windows"))
    assert "TTL" not in str(client.command("SHOW CREATE TABLE sensors"))
    longer = Retention(readings_ms=DAY_MS + 500, windows_ms=10 * DAY_MS, others_ms=2 * DAY_MS)
    assert migrate.init(client, retention=longer) == [
        "rows of readings are kept for 1.00001 days",
        "rows of asset_verdicts are kept for 1.00001 days",
    ]


def test_retention_counts_from_storing_not_from_event_time(client: Client) -> None:
    migrate.init(client, retention=Retention(readings_ms=DAY_MS, windows_ms=DAY_MS, others_ms=DAY_MS))
    client.command("INSERT INTO readings (sensor_id, time) VALUES ('old times', '1999-01-01 00:00:00')")
    client.command(
        "INSERT INTO readings (sensor_id, time, stored_at) VALUES ('stored long ago', now(), now() - INTERVAL 2 DAY)"
    )
    client.command("OPTIMIZE TABLE readings FINAL")
    assert client.command("SELECT sensor_id FROM readings_final") == "old times"


def test_no_retention_that_would_delete_everything() -> None:
    with pytest.raises(ValueError, match="retention of alerts: 0 ms: must be longer than 0"):
        Retention(readings_ms=1, windows_ms=1, others_ms=0).seconds("alerts")


def test_every_difference_is_listed(client: Client) -> None:
    for statement in (
        "DROP TABLE ledger",
        "ALTER TABLE events DROP COLUMN detail",
        "ALTER TABLE readings MODIFY COLUMN unit String",
        "DROP TABLE sensors",
        "CREATE TABLE sensors AS windows ENGINE = MergeTree ORDER BY start",
        "CREATE OR REPLACE TABLE dead_letters AS dead_letters ENGINE = ReplacingMergeTree(generation) "
        "PARTITION BY partition ORDER BY (topic, offset)",
        "CREATE TABLE of_somebody_else (a Int8) ENGINE = MergeTree ORDER BY a",
    ):
        client.command(statement)
    found = schema_check.differences(client)
    assert "table ledger is missing" in found
    assert "events.detail is missing: String expected" in found
    assert "readings.unit is String: LowCardinality(String) expected" in found
    assert "sensors has engine MergeTree(): ReplacingMergeTree(updated_at) expected" in found
    assert "sensors.updated_at is missing: DateTime64(3, 'UTC') expected" in found
    assert "dead_letters has ORDER BY topic, offset: topic, partition, offset, idx expected" in found
    assert "dead_letters has PARTITION BY partition: intDiv(offset, 100000000) expected" in found
    assert not any("of_somebody_else" in line for line in found)
    with pytest.raises(ClickHouseError, match=r"(?s)not what this release writes:.*- table ledger is missing.*db init"):
        schema_check.check(client)


@pytest.mark.parametrize(
    ("engine", "plain"),
    [
        ("ReplacingMergeTree(version) PARTITION BY x", "ReplacingMergeTree(version)"),
        ("ReplicatedReplacingMergeTree('/a/{shard}', '{replica}', version) ORDER BY x", "ReplacingMergeTree(version)"),
        ("SharedReplacingMergeTree('/a', '{replica}', version)", "ReplacingMergeTree(version)"),
        ("View", "View()"),
    ],
)
def test_replicated_engines_count_as_their_plain_kind(engine: str, plain: str) -> None:
    assert schema_check._engine(engine) == plain
