"""The tables as Parquet files, and back: a copy that any tool reads, for a server of any kind.

    DIR/readings-202611.parquet    one file for each table and partition
    DIR/manifest.json              how many rows each holds; written last, so that a copy without it is not whole

Rows are copied in their newest state, with the time they were stored, from which retention counts. For hundreds of
gigabytes ClickHouse's own BACKUP is the better way, see docs/clickhouse.md.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from infra.clickhouse import migrate
from infra.clickhouse.client import ClickHouseError, explained
from operators.records import TABLES, Table

MANIFEST = "manifest.json"
_SETTINGS = {"max_execution_time": 0}

Told = Callable[[str, int], None]
"""Is told the name of a file and its rows, once it is done."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a manifest says. schema: number of the last migration. files: rows of each."""

    made_at: str
    schema: int
    files: dict[str, int]


def write(client: Client, folder: Path, told: Told = lambda name, rows: None) -> Copy:
    """Copy every table into a new folder. Raises ClickHouseError, also when something is in the folder already.

    While a flow runs, tables are copied one after another: what is stored meanwhile may be in one and not in the other.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ClickHouseError(f"{folder}: is not empty; name a new directory for the copy")
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for table in TABLES.values():
        for name, where, rows in _pieces(client, table):
            sql = f"SELECT {_names(table)} FROM {table.name} FINAL WHERE {where}"
            _fetch(client, sql, folder / name)
            files[name] = rows
            told(name, rows)
    copy = Copy(datetime.now(UTC).isoformat(timespec="seconds"), _schema(), files)
    manifest = {"made_at": copy.made_at, "schema": copy.schema, "files": copy.files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return copy


def read_manifest(folder: Path) -> Copy:
    """What a folder holds. Raises ClickHouseError when that is no whole copy, or one of a later release."""
    try:
        read = json.loads((folder / MANIFEST).read_text())
        copy = Copy(
            read["made_at"], int(read["schema"]), {str(name): int(rows) for name, rows in read["files"].items()}
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ClickHouseError(f"{folder}: no whole copy: {MANIFEST} cannot be read ({error})") from None
    missing = [name for name in copy.files if not (folder / name).is_file()]
    if missing:
        raise ClickHouseError(f"{folder}: no whole copy: {', '.join(missing[:3])} missing")
    if copy.schema > _schema():
        raise ClickHouseError(
            f"{folder}: made by a later release (schema {copy.schema}, here {_schema()}): upgrade first"
        )
    return copy


def restore(client: Client, folder: Path, told: Told = lambda name, rows: None) -> Copy:
    """Put a copy into the tables that `migrate.init` has made; rows that are there already replace themselves.

    Columns that the copy does not know yet get their defaults. Raises ClickHouseError.
    """
    copy = read_manifest(folder)
    for name, rows in copy.files.items():
        table = TABLES.get(name.split("-")[0].removesuffix(".parquet"))
        if table is None:
            raise ClickHouseError(f"{folder / name}: there is no table of that name")
        with explained(f"{name}", client), (folder / name).open("rb") as file:
            settings = {"async_insert": 0, "max_partitions_per_insert_block": 0, **_SETTINGS}
            client.raw_insert(table.name, insert_block=file, fmt="Parquet", settings=settings)
        told(name, rows)
    return copy


def _pieces(client: Client, table: Table) -> Iterator[tuple[str, str, int]]:
    """Name of a file, which rows belong into it, how many they are: one for each partition."""
    with explained(f"the partitions of {table.name}", client):
        sql = f"SELECT {table.partition_by} AS part, count() FROM {table.name} FINAL GROUP BY part ORDER BY part"
        parts = client.query(sql).result_rows
    for part, rows in parts:
        if re.fullmatch(r"\d+", str(part)):
            yield f"{table.name}-{part}.parquet", f"{table.partition_by} = {part}", int(rows)
        else:  # a table that is not partitioned
            yield f"{table.name}.parquet", "true", int(rows)


def _names(table: Table) -> str:
    return ", ".join(f"`{name}`" for name in (*(column.name for column in table.columns), "stored_at"))


def _schema() -> int:
    return max(one.number for one in migrate.migrations())


def _fetch(client: Client, sql: str, file: Path) -> None:
    with explained(f"the copy {file.name}", client):
        stream = client.raw_stream(sql, fmt="Parquet", settings=_SETTINGS)
        with file.open("wb") as out:
            for chunk in stream:
                out.write(chunk)
