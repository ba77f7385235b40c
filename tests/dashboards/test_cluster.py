"""The tables of a cluster: their SQL parses, and questions to rows spread over shards are answered as by one server.

The embedded ClickHouse has no Replicated and no Distributed tables, so a cluster is played by databases: one for each
shard, and Merge tables over them, which put FINAL to each shard by itself as a Distributed table does.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse import migrate, schema_check
from infra.clickhouse.client import connect
from infra.clickhouse.cluster import SHARDED, local_name, on_cluster
from operators.records import TABLES
from tests.dashboards.seeding import Seeded
from tests.dashboards.test_named_queries import QUERIES, ask

SHARDS = 2
STATEMENTS = [
    statement
    for migration in migrate.migrations()
    for written in migration.statements
    for statement in on_cluster(written, "plant")
]


def test_rows_that_replace_each_other_are_in_one_shard() -> None:
    for name, columns in SHARDED.items():
        assert set(columns) <= set(TABLES[name].identity), name


def test_every_statement_parses_and_is_for_the_whole_cluster(seeded: Seeded) -> None:
    for statement in STATEMENTS:
        assert seeded.client.command(f"EXPLAIN AST {statement}"), statement
        assert "ON CLUSTER `plant`" in statement
        assert not re.search(r"ENGINE = ReplacingMergeTree", statement)
    made = [statement for statement in STATEMENTS if statement.startswith("CREATE TABLE")]
    paths = [found for statement in made for found in re.findall(r"'/clickhouse/tables/\S+'", statement)]
    assert len(paths) == len(set(paths)) == len(made) == len(TABLES)


def test_what_is_not_known_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="cannot be told for a cluster: DROP TABLE x"):
        on_cluster("-- gone\nDROP TABLE x", "plant")
    with pytest.raises(ValueError, match="x: expected ReplacingMergeTree"):
        on_cluster("CREATE TABLE IF NOT EXISTS x (a Int8)\nENGINE = Log", "plant")


@pytest.fixture(scope="module")
def spread(seeded: Seeded) -> Iterator[Seeded]:
    """What is seeded, each row stored twice, spread over shards by the SQL for a cluster."""
    name = f"spread_{uuid.uuid4().hex[:12]}"
    shards = [f"{name}_{number}" for number in range(SHARDS)]
    with connect(replace(seeded.address, database=name)) as client:
        for database in (name, *shards):
            client.command(f"CREATE DATABASE {database}", use_database=False)
        for statement in STATEMENTS:
            _play(client, statement, shards)
        for table in TABLES:
            for _ in range(2):
                _fill(client, table, seeded.client.database or "", shards)
        yield replace(seeded, address=replace(seeded.address, database=name), client=client)
        for database in (name, *shards):
            client.command(f"DROP DATABASE {database} SYNC", use_database=False)


def _play(client: Client, statement: str, shards: list[str]) -> None:
    plain = statement.replace(" ON CLUSTER `plant`", "")
    plain = re.sub(r"Replicated(\w+)\('[^']+', '[^']+'(?:, )?", r"\1(", plain)
    if found := re.search(r"(?:TABLE|EXISTS) (\w+_local)\b", plain):
        for shard in shards:
            client.command(plain.replace(found[1], f"{shard}.{found[1]}", 1))
    elif found := re.search(r"AS (\w+_local)\n", plain):
        plain = plain.replace(f"AS {found[1]}", f"AS {shards[0]}.{found[1]}")
        every = "|".join(shards)
        client.command(re.sub(r"ENGINE = .*", f"ENGINE = Merge(REGEXP('^({every})$'), '^{found[1]}$')", plain))
    else:
        client.command(plain)


def _fill(client: Client, table: str, origin: str, shards: list[str]) -> None:
    columns = ", ".join(f"`{column.name}`" for column in TABLES[table].columns)
    select = f"SELECT {columns}, stored_at FROM {origin}.{table}"
    if table not in SHARDED:
        client.command(f"INSERT INTO {table} ({columns}, stored_at) {select}")
        return
    for number, shard in enumerate(shards):
        # The expression that the Distributed table is made with.
        made = next(one for one in STATEMENTS if f"AS {local_name(table)}\n" in one)
        key = made[made.index("cityHash64(") : -1]
        into = f"INSERT INTO {shard}.{local_name(table)} ({columns}, stored_at)"
        client.command(f"{into} {select} WHERE {key} % {len(shards)} = {number}")


def test_views_say_the_same(seeded: Seeded, spread: Seeded) -> None:
    sql = "SELECT name FROM system.tables WHERE database = {db:String} AND engine = 'View' ORDER BY name"
    views = [row[0] for row in seeded.client.query(sql, parameters={"db": seeded.client.database}).result_rows]
    assert len(views) > len(TABLES)
    for view in views:
        rows = f"SELECT count(), sum(cityHash64(toString(tuple(*)))) FROM {view}"
        one, other = (client.query(rows).result_rows for client in (seeded.client, spread.client))
        assert one == other, view


def test_named_queries_say_the_same(seeded: Seeded, spread: Seeded) -> None:
    for named in QUERIES:
        # One is about the tables themselves, the other gives any example there is.
        if named.name not in ("table_cost", "refused"):
            one, other = (sorted(map(_told, ask(asked, named).rows)) for asked in (seeded, spread))
            assert one == other, named.name


def _told(row: Sequence[object]) -> str:
    """Rounded, for sums meet in another order."""
    return repr([f"{value:.9g}" if isinstance(value, float) else value for value in row])


def test_each_shard_holds_some_and_none_holds_all(spread: Seeded) -> None:
    for table in ("readings", "windows"):
        sql = f"SELECT _database, count() FROM {table} GROUP BY _database"
        assert len(spread.client.query(sql).result_rows) == SHARDS


def test_the_check_at_start_looks_at_what_holds_the_rows() -> None:
    table = TABLES["readings"]
    columns = {column.name: column.type for column in table.columns}
    key = ", ".join(table.identity)
    local = schema_check._Live("ReplacingMergeTree(generation)", key, table.partition_by, columns)
    spread = schema_check._Live("Distributed(cityHash64(sensor_id))", "", "", columns)
    assert schema_check._compare(table, spread, local) == []
    assert schema_check._compare(table, spread, None) == ["table readings_local is missing"]
    other = replace(local, sorting_key="sensor_id")
    assert schema_check._compare(table, spread, other) == [f"readings has ORDER BY sensor_id: {key} expected"]
    full = "ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/readings/{shard}', '{replica}', generation)"
    assert schema_check._engine(f"{full} PARTITION BY x") == "ReplacingMergeTree(generation)"
