"""Bringing a database to the schema: numbered SQL files, applied once each, in order; then retention."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import ClickHouseError, explained
from infra.clickhouse.cluster import local_name, on_cluster
from operators.records import TABLES

FOLDER = Path(__file__).parent / "migrations"

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    `number` UInt32 COMMENT 'number of the migration file',
    `name` String COMMENT 'name of the file',
    `sha256` String COMMENT 'of its text, so that an edit is noticed',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when'
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Which migrations this database has seen.'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of SQL statements. Each statement may run twice, for a run can break off between two."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """A semicolon at the end of a line ends a statement."""
        return [text.strip() for text in re.split(r";\s*$", self.sql, flags=re.MULTILINE) if text.strip()]


@dataclass(frozen=True, slots=True)
class MigrationState:
    """pending: not applied yet; edited: the file is not what was applied; newer: applied by a later release."""

    number: int
    name: str
    state: Literal["applied", "pending", "edited", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long rows are kept after they were stored, milliseconds. The registry `sensors` is kept for good."""

    readings_ms: int
    windows_ms: int
    others_ms: int

    def seconds(self, table: str) -> int | None:
        """Whole seconds for a table; None: for good."""
        if table == "sensors":
            return None
        kept_ms = {"readings": self.readings_ms, "asset_verdicts": self.readings_ms, "windows": self.windows_ms}
        ms = kept_ms.get(table, self.others_ms)
        if ms <= 0:
            raise ValueError(f"retention of {table}: {ms} ms: must be longer than 0, else every row goes at once")
        return -(-ms // 1000)


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """The files NNNN_name.sql of a folder, by number."""
    found = [
        Migration(int(path.name.split("_")[0]), path.name, path.read_text(encoding="utf-8"))
        for path in folder.glob("[0-9]*.sql")
    ]
    return sorted(found, key=lambda migration: migration.number)


def init(client: Client, *, retention: Retention | None = None, cluster: str = "", folder: Path = FOLDER) -> list[str]:
    """Create the client's database when it is missing, apply pending migrations, set retention where it differs.

    cluster: the name of the cluster on whose servers this is done; empty: on this server alone.
    Returns what was done, one line each; empty when all was up to date. Running it again, or from two places at once,
    does no harm. Raises ClickHouseError.
    """
    done: list[str] = []
    with explained("db init", client):
        if not _database_exists(client):
            everywhere = f" ON CLUSTER `{cluster}`" if cluster else ""
            client.command(f"CREATE DATABASE IF NOT EXISTS `{client.database}`{everywhere}", use_database=False)
            done.append(f"created database {client.database}")
    states = {state.number: state for state in status(client, folder=folder)}
    edited = [state.name for state in states.values() if state.state == "edited"]
    if edited:
        raise ClickHouseError(
            f"migration {', '.join(edited)} was edited after it was applied: put the file back as it was, "
            "and make the change in a new file with the next number"
        )
    with explained("db init", client):
        _run(client, _RECORD, cluster)
        for migration in migrations(folder):
            if states[migration.number].state == "pending":
                _apply(client, migration, cluster)
                done.append(f"applied {migration.name}")
        if retention is not None:
            done += _apply_retention(client, retention, cluster)
    return done


def status(client: Client, *, folder: Path = FOLDER) -> list[MigrationState]:
    """Every migration that the folder or the database knows, by number. Raises ClickHouseError."""
    applied = _applied(client)
    states = []
    for migration in migrations(folder):
        name, sha256 = applied.pop(migration.number, (migration.name, ""))
        known: Literal["applied", "edited"] = "applied" if sha256 == migration.sha256 else "edited"
        states.append(MigrationState(migration.number, name, known if sha256 else "pending"))
    states += [MigrationState(number, name, "newer") for number, (name, _) in applied.items()]
    return sorted(states, key=lambda state: state.number)


def _database_exists(client: Client) -> bool:
    sql = "SELECT count() FROM system.databases WHERE name = {name:String}"
    found = client.command(sql, parameters={"name": client.database}, use_database=False)
    return found == 1


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    with explained("schema_migrations", client):
        sql = "SELECT count() FROM system.tables WHERE database = {db:String} AND name = 'schema_migrations'"
        if client.command(sql, parameters={"db": client.database}, use_database=False) != 1:
            return {}
        rows = client.query("SELECT number, name, sha256 FROM schema_migrations FINAL").result_rows
    return {number: (name, sha256) for number, name, sha256 in rows}


def _run(client: Client, statement: str, cluster: str) -> None:
    for one in on_cluster(statement, cluster) if cluster else [statement]:
        client.command(one)


def _apply(client: Client, migration: Migration, cluster: str) -> None:
    for statement in migration.statements:
        _run(client, statement, cluster)
    row = [migration.number, migration.name, migration.sha256]
    client.insert("schema_migrations", [row], column_names=["number", "name", "sha256"])


def _apply_retention(client: Client, retention: Retention, cluster: str) -> list[str]:
    done = []
    sql = "SELECT name, extract(engine_full, 'TTL (.*?)( SETTINGS|$)') FROM system.tables WHERE database = {db:String}"
    live = {row[0]: row[1] for row in client.query(sql, parameters={"db": client.database}).result_rows}
    for table in TABLES:
        seconds = retention.seconds(table)
        held = local_name(table) if cluster else table
        if seconds is not None and live.get(held) != f"stored_at + toIntervalSecond({seconds})":
            everywhere = f" ON CLUSTER `{cluster}`" if cluster else ""
            client.command(f"ALTER TABLE {held}{everywhere} MODIFY TTL stored_at + toIntervalSecond({seconds})")
            done.append(f"rows of {table} are kept for {seconds / 86_400:g} days")
    return done
