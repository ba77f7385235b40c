"""The SQL of a rebuild: scratch tables beside the live ones, comparing the two, moving over what differs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import ClickHouseError, explained
from operators.records import TABLES, VERSION_SHIFT, Table

REBUILT = ("readings", "windows", "asset_verdicts", "data_quality", "alerts")
"""Tables that a rebuild writes; of the others, dead letters, events and the ledger tell how it was the first time."""

_NOT_COMPARED = ("generation", "version", "quality")
_ROUNDED = ("mean", "stddev")
"""Columns that may differ in their last digits, for partitions meet in another order."""

_CONDITIONS = {
    "readings": "time >= {begin} AND time < {end}",
    "windows": "start >= {begin} AND start < {end} AND `end` <= {to}",
    "asset_verdicts": "time >= {begin} AND time < {end} AND addMilliseconds(time, tick_ms) <= {to}",
    # One that lasts until the end of the range, or longer, is known whole to the live flow only.
    "data_quality": "start >= {begin} AND start < {end} AND `end` < {to}",
    "alerts": "source = 'flow' AND started_at >= {begin} AND started_at < {end} AND ended_at < {to}",
}
_EPISODES = ("data_quality", "alerts")


class Slice(NamedTuple):
    """A stretch of event time, epoch milliseconds, the end exclusive, with about so many readings."""

    begin_ms: int
    end_ms: int
    rows: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a rebuild would do to one table, or to one window.

    same, differs, new: rows it makes that are stored like that, otherwise, not at all.
    gone: stored rows it does not make. emptied: those of them, in windows still configured, to be set to count 0.
    flips: readings whose verdict differs. count, mean: the largest change of a window's.
    """

    table: str
    window: str = ""
    same: int = 0
    differs: int = 0
    new: int = 0
    gone: int = 0
    emptied: int = 0
    flips: int = 0
    count: int = 0
    mean: float = 0.0

    def __add__(self, other: "Change") -> "Change":
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMMED}
        count, mean = max(self.count, other.count), max(self.mean, other.mean)
        return Change(self.table, self.window, **sums, count=count, mean=mean)

    @property
    def written(self) -> int:
        """Rows to write."""
        return self.differs + self.new + self.emptied


_SUMMED = ("same", "differs", "new", "gone", "emptied", "flips")


class Workbench:
    """Two scratch databases beside the live one: readings read anew from Kafka, and what was made of readings.

    client: its database is the live one. windows: name, size_ms and hop_ms of each that is configured.
    """

    def __init__(self, client: Client, *, windows: Sequence[tuple[str, int, int]]) -> None:
        self._client = client
        self._windows = [*windows]
        self.live = client.database or ""
        self.readings, self.results = f"{self.live}_rebuild_readings", f"{self.live}_rebuild"

    @contextmanager
    def open(self, *, discard: bool) -> Iterator["Workbench"]:
        """Make the databases, and drop them afterwards, whatever happens.

        discard: drop what a rebuild that was killed has left. Raises ClickHouseError when there is some.
        """
        with explained("the scratch databases of the rebuild", self._client):
            if discard:
                self._drop()
            found = "SELECT count() FROM system.databases WHERE name IN {names:Array(String)}"
            names = [self.readings, self.results]
            if self._client.command(found, parameters={"names": names}, use_database=False):
                raise ClickHouseError(
                    f"the database {self.results} is there: another rebuild works in it, or was killed; "
                    "when none is running, add --discard"
                )
            try:
                for database, tables in ((self.readings, ("readings",)), (self.results, REBUILT)):
                    self._client.command(f"CREATE DATABASE `{database}`", use_database=False)
                    for table in tables:
                        self._create(database, TABLES[table])
                yield self
            finally:
                self._drop()

    def _create(self, database: str, table: Table) -> None:
        self._client.command(
            f"CREATE TABLE `{database}`.{table.name} AS `{self.live}`.{table.name} "
            f"ENGINE = ReplacingMergeTree({table.version}) PARTITION BY {table.partition_by} ORDER BY {_key(table)}"
        )

    def _drop(self) -> None:
        for database in (self.readings, self.results):
            self._client.command(f"DROP DATABASE IF EXISTS `{database}`", use_database=False)

    def changes(self, table: str, part: Slice, *, to_ms: int) -> list[Change]:
        """What the scratch tables hold for a slice of the range against the live ones. Raises ClickHouseError."""
        found = [*self._differing(table, part, to_ms), *self._gone(table, part, to_ms)]
        named: dict[str, Change] = {}
        for change in found:
            named[change.window] = named.get(change.window, Change(table, change.window)) + change
        return list(named.values())

    def _differing(self, table: str, part: Slice, to_ms: int) -> Iterator[Change]:
        window = "toString(n.window)" if table == "windows" else "''"
        flips = "n.is_anomaly != o.is_anomaly" if table == "readings" else "false"
        count, mean = ("abs(n.count - o.count)", "abs(n.mean - o.mean)") if table == "windows" else ("0", "0.")
        sql = (
            "SELECT named, countIf(there AND NOT differs), countIf(there AND differs), countIf(NOT there), "
            "countIf(there AND flips), maxIf(by_count, there), maxIf(by_mean, there) FROM ("
            f"SELECT {window} AS named, o.there AS there, {_differs(table)} AS differs, {flips} AS flips, "
            f"{count} AS by_count, ifNull({mean}, 0.) AS by_mean FROM {self._joined(table, part, to_ms)}"
            ") GROUP BY named ORDER BY named"
        )
        for named, same, differs, new, flipped, most, shift in self._rows(sql):
            yield Change(table, named, same, differs, new, flips=flipped, count=most, mean=shift)

    def _gone(self, table: str, part: Slice, to_ms: int) -> Iterator[Change]:
        named, emptied, most = "''", "0", "0"
        if table == "windows":
            named, most = "toString(window)", "max(count)"
            emptied = f"countIf({self._still_configured()} AND count > 0)"
        sql = (
            f"SELECT {named} AS named, count(), {emptied}, {most} FROM {self._gone_rows(table, part, to_ms)} "
            "GROUP BY named ORDER BY named"
        )
        for name, gone, empty, largest in self._rows(sql):
            yield Change(table, name, gone=gone, emptied=empty, count=largest if empty else 0)

    def shrunk(self, part: Slice, *, to_ms: int) -> int:
        """Windows, over all their groups, that would hold fewer readings than they do: readings are gone."""
        where = _condition("windows", part, to_ms)
        total = (
            "SELECT window, start, size_ms, hop_ms, sum(count) AS total FROM `{}`.windows FINAL "
            f"WHERE {where} AND {self._still_configured()} GROUP BY window, start, size_ms, hop_ms"
        )
        sql = (
            f"SELECT countIf(n.total < o.total) FROM ({total.format(self.live)}) AS o "
            f"LEFT JOIN ({total.format(self.results)}) AS n USING (window, start, size_ms, hop_ms)"
        )
        return int(self._rows(sql)[0][0])

    def next_generation(self) -> int:
        """One more than any in the live tables."""
        newest = ", ".join(f"(SELECT max(generation) FROM `{self.live}`.{table})" for table in REBUILT)
        return int(self._rows(f"SELECT greatest({newest})")[0][0]) + 1

    def publish(self, table: str, part: Slice, *, to_ms: int, generation: int) -> None:
        """Write what differs or is new in a slice into the live table. Raises ClickHouseError."""
        columns = [column.name for column in TABLES[table].columns]
        made = {name: f"n.`{name}`" for name in columns} | {"generation": str(generation)}
        if "version" in made:
            # Those of the scratch tables are of generation 0.
            made["version"] = f"bitShiftLeft(toUInt64({generation}), {VERSION_SHIFT}) + n.version"
        if "quality" in made:
            # A fact about the arrival, which the ledger has counted.
            made["quality"] = "if(o.there, o.quality, n.quality)"
        self._insert(
            table,
            columns,
            f"SELECT {', '.join(made[name] for name in columns)} FROM {self._joined(table, part, to_ms)} "
            f"WHERE NOT o.there OR {_differs(table)}",
        )
        if table == "windows":
            kept = {*TABLES[table].identity, "end", "size_ms", "hop_ms"}
            kept_columns = [name for name in columns if name in kept]
            self._insert(
                table,
                [*kept_columns, "count", "anomaly_count", "generation"],
                f"SELECT {', '.join(f'`{name}`' for name in kept_columns)}, 0, 0, {generation} "
                f"FROM {self._gone_rows(table, part, to_ms)} WHERE {self._still_configured()} AND count > 0",
            )

    def _insert(self, table: str, columns: Sequence[str], select: str) -> None:
        names = ", ".join(f"`{name}`" for name in columns)
        with explained(f"rows of {table} from the rebuild", self._client):
            self._client.command(
                f"INSERT INTO `{self.live}`.{table} ({names}) {select}", settings={"max_partitions_per_insert_block": 0}
            )

    def _joined(self, table: str, part: Slice, to_ms: int) -> str:
        """Scratch rows `n` and the live row `o` of each; `o.there` is false where there is none."""
        of = TABLES[table]
        where = _condition(table, part, to_ms)
        # The live row of an episode may still be open.
        wider = where.rpartition(" AND ")[0] if table in _EPISODES else where
        on = " AND ".join(f"n.`{name}` = o.`{name}`" for name in of.identity)
        return (
            f"(SELECT *, {_hash(of)} AS hash FROM `{self.results}`.{table} FINAL WHERE {where}) AS n "
            f"LEFT JOIN (SELECT *, {_hash(of)} AS hash, true AS there FROM `{self.live}`.{table} FINAL WHERE {wider}) "
            f"AS o ON {on}"
        )

    def _gone_rows(self, table: str, part: Slice, to_ms: int) -> str:
        key, where = _key(TABLES[table]), _condition(table, part, to_ms)
        return (
            f"(SELECT * FROM `{self.live}`.{table} FINAL WHERE {where} AND {key} NOT IN "
            f"(SELECT {key} FROM `{self.results}`.{table} FINAL WHERE {where}))"
        )

    def _still_configured(self) -> str:
        if not self._windows:
            return "false"
        known = ", ".join(f"({_text(name)}, {size}, {hop})" for name, size, hop in self._windows)
        return f"(toString(window), size_ms, hop_ms) IN ({known})"

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        with explained("the rebuild's comparison", self._client):
            return self._client.query(sql).result_rows


def _key(table: Table) -> str:
    return f"({', '.join(f'`{name}`' for name in table.identity)})"


def _compared(table: Table) -> list[str]:
    left_out = {*table.identity, *_NOT_COMPARED, *(_ROUNDED if table.name == "windows" else ())}
    return [column.name for column in table.columns if column.name not in left_out]


def _hash(table: Table) -> str:
    """Of all columns that are compared exactly; of a tuple, so that NULL and NaN equal themselves."""
    return f"cityHash64(tuple({', '.join(f'`{name}`' for name in _compared(table))}))"


def _differs(table: str) -> str:
    if table != "windows":
        return "(n.hash != o.hash)"
    near = " OR ".join(
        f"ifNull(abs(n.{name} - o.{name}) > 1e-9 * greatest(1., abs(n.{name}), abs(o.{name})), "
        f"isNull(n.{name}) != isNull(o.{name}))"
        for name in _ROUNDED
    )
    return f"(n.hash != o.hash OR {near})"


def _condition(table: str, part: Slice, to_ms: int) -> str:
    times = {"begin": part.begin_ms, "end": min(part.end_ms, to_ms), "to": to_ms}
    at = {name: f"fromUnixTimestamp64Milli(toInt64({ms}))" for name, ms in times.items()}
    return _CONDITIONS[table].format(**at)


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
