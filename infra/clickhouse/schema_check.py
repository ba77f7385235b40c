"""Does the live schema fit what this release writes? Asked at start, not at the first insert."""

import re
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import ClickHouseError, explained
from infra.clickhouse.cluster import local_name
from operators.records import TABLES, Table


@dataclass(frozen=True, slots=True)
class _Live:
    engine: str
    sorting_key: str
    partition_key: str
    columns: dict[str, str]


def check(client: Client) -> None:
    """Raises ClickHouseError that lists every difference and says what to do."""
    found = differences(client)
    if found:
        listing = "\n".join(f"  - {line}" for line in found)
        raise ClickHouseError(
            f"the tables in database {client.database} are not what this release writes:\n{listing}\n"
            "run `streamgauge db init`; what it leaves differing was changed by hand"
        )


def differences(client: Client) -> list[str]:
    """One line per difference that would break writing or replacing rows; empty when all fits.

    Further tables and columns are fine: they come from a later release or from people.
    """
    live = _live_tables(client)
    found: list[str] = []
    for table in TABLES.values():
        if table.name in live:
            found += _compare(table, live[table.name], live.get(local_name(table.name)))
        else:
            found.append(f"table {table.name} is missing")
    return found


def _compare(table: Table, live: _Live, local: _Live | None) -> list[str]:
    """local: on a cluster, what holds the rows of a table that is spread over it."""
    found = []
    for column in table.columns:
        kind = live.columns.get(column.name)
        if kind is None:
            found.append(f"{table.name}.{column.name} is missing: {column.type} expected")
        elif kind != column.type:
            found.append(f"{table.name}.{column.name} is {kind}: {column.type} expected")
    if live.engine.startswith("Distributed"):
        if local is None:
            return [*found, f"table {local_name(table.name)} is missing"]
        live = local
    wanted = (
        ("engine", live.engine, f"ReplacingMergeTree({table.version})"),
        ("ORDER BY", live.sorting_key, ", ".join(table.identity)),
        # No PARTITION BY at all reads back as empty.
        ("PARTITION BY", live.partition_key or "tuple()", table.partition_by),
    )
    found += [f"{table.name} has {what} {is_}: {should} expected" for what, is_, should in wanted if is_ != should]
    return found


def _live_tables(client: Client) -> dict[str, _Live]:
    parameters = {"db": client.database}
    with explained("the schema check", client):
        tables = client.query(
            "SELECT name, engine_full, sorting_key, partition_key FROM system.tables WHERE database = {db:String}",
            parameters=parameters,
        ).result_rows
        columns = client.query(
            "SELECT table, name, type FROM system.columns WHERE database = {db:String} ORDER BY table, position",
            parameters=parameters,
        ).result_rows
    types: dict[str, dict[str, str]] = {}
    for table, name, kind in columns:
        types.setdefault(table, {})[name] = kind
    return {
        name: _Live(_engine(engine), sorting.strip("()"), partition, types.get(name, {}))
        for name, engine, sorting, partition in tables
    }


def _engine(full: str) -> str:
    """The kind of engine and its version column; a replicated one counts as its plain kind."""
    match = re.match(r"(?:Replicated|Shared)?(\w+)(?:\(([^)]*)\))?", full)
    kind, arguments = match.groups("") if match else (full, "")
    return f"{kind}({arguments.split(', ')[-1]})"
