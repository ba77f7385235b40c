"""The migrations for a cluster, made from those for one server: there is no second copy of the schema.

    CREATE TABLE readings ... ReplacingMergeTree(v)
        -> readings_local: ReplicatedReplacingMergeTree, on every server, a part of the rows in each shard
        -> readings:       Distributed, what is written to and read from, rows go to a shard by SHARDED
    CREATE TABLE alerts ... ReplacingMergeTree(v)
        -> alerts:         ReplicatedReplacingMergeTree, all rows on every server: it is small, and views join it
    CREATE VIEW ...        -> the same on every server

A row and what replaces it must meet, so a sharding key is made of columns of the table's identity: then FINAL, which
each shard does by itself, is right for the whole. Servers define the macros {shard} and {replica}.
"""

import re

SHARDED = {
    "readings": ("sensor_id",),
    "data_quality": ("sensor_id",),
    "windows": ("window", "sensor_type", "location", "asset_id", "unit", "sensor_id", "topic"),
    "asset_verdicts": ("asset_id", "location"),
    "dead_letters": ("topic", "partition"),
}
"""What grows with the readings: the columns that decide on a row's shard. Other tables are whole on every server."""

SETTINGS = {
    # Rows that are acknowledged are in their shards, not in a queue on the disk of the server that took them.
    "distributed_foreground_insert": 1,
    # A replica drops a block that it has seen, also one that an epoch writes once more, and says it wrote nothing.
    "insert_deduplicate": 0,
    # Subqueries that the shards need of each other are sent along by the server that was asked.
    "distributed_product_mode": "global",
}
"""For every connection to a cluster."""

_HEAD = re.compile(
    r"(?P<what>CREATE TABLE IF NOT EXISTS|ALTER TABLE|CREATE OR REPLACE VIEW)\s+(?P<name>\w+)(?P<rest>.*)", re.DOTALL
)
_ENGINE = re.compile(r"^ENGINE = ReplacingMergeTree(?:\((?P<version>\w+)\))?", re.MULTILINE)


def on_cluster(statement: str, cluster: str) -> list[str]:
    """What a statement of a migration becomes on a cluster of that name. Each may run twice.

    Raises ValueError for one of another kind, which this would have to be taught.
    """
    statement = re.sub(r"\A(\s*--.*\n)*\s*", "", statement)
    head = _HEAD.match(statement)
    if head is None:
        raise ValueError(f"cannot be told for a cluster: {statement[:60]}")
    what, name, rest = head["what"], head["name"], head["rest"]
    everywhere = f"ON CLUSTER `{cluster}`"
    if what == "CREATE OR REPLACE VIEW":
        return [f"{what} {name} {everywhere}{rest}"]
    local = local_name(name)
    if what == "CREATE TABLE IF NOT EXISTS":
        rest, engines = _ENGINE.subn(lambda found: _replicated(name, found["version"]), rest)
        if engines != 1:
            raise ValueError(f"{name}: expected ReplacingMergeTree as its engine")
    made = [f"{what} {local} {everywhere}{rest}"]
    # Made anew after each change, with the columns of the local one; it holds nothing itself.
    return made if local == name else [*made, _distributed(name, cluster)]


def local_name(table: str) -> str:
    """The table of a cluster's servers that holds the rows."""
    return f"{table}_local" if table in SHARDED else table


def _replicated(name: str, version: str | None) -> str:
    # All servers of a shard hold the same rows; of a table that is not sharded, all servers of the cluster do.
    path, replica = ("{shard}", "{replica}") if name in SHARDED else ("all", "{shard}-{replica}")
    place = f"'/clickhouse/tables/{{database}}/{name}/{path}', '{replica}'"
    return f"ENGINE = ReplicatedReplacingMergeTree({place}{f', {version}' if version else ''})"


def _distributed(name: str, cluster: str) -> str:
    columns = ", ".join(f"`{column}`" for column in SHARDED[name])
    return (
        f"CREATE OR REPLACE TABLE {name} ON CLUSTER `{cluster}` AS {local_name(name)}\n"
        f"ENGINE = Distributed(`{cluster}`, currentDatabase(), {local_name(name)}, cityHash64({columns}))"
    )
