"""Stored readings as they went into the flow, slice by slice of event time; and how far the live flow has come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from infra.clickhouse.rebuild import Slice
from operators.batches import NO_SEQ, Codes, Floats, Ints, Series, SeriesDictionary

SLICE_ROWS = 200_000
"""Readings in memory at a time, about; at least those of a minute."""
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Stored:
    """Readings of one partition by offset and index; all columns have length n.

    code: into the dictionary of the `ReadingStore`. label: into its `labels`. attributes: JSON text, "" for none.
    """

    code: Codes
    time_ms: Ints
    value: Floats
    offset: Ints
    idx: Codes
    seq: Ints
    label: Codes
    attributes: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.code)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Stored":
        """Some of the rows, in the given order."""
        return Stored(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined(self, other: "Stored") -> "Stored":
        """The rows of both, by offset and index."""
        both = Stored(*(np.concatenate([getattr(one, f.name) for one in (self, other)]) for f in fields(self)))
        return both.take(np.lexsort((both.idx, both.offset)))


class ReadingStore:
    """The readings of some topics in one database.

    complete: fills what a series does not say.
    """

    def __init__(
        self, client: Client, database: str, topics: Sequence[str], complete: Callable[[Series], Series]
    ) -> None:
        self._client = client
        self._database = database
        self._topics = list(topics)
        self._complete = complete
        self.series = SeriesDictionary()
        self.labels: dict[str, int] = {"": 0}

    def partitions(self, begin_ms: int, end_ms: int) -> tuple[str, ...]:
        """Every "topic/partition" with a reading in that stretch."""
        sql = f"SELECT DISTINCT topic, partition FROM {self._where(begin_ms, end_ms)} ORDER BY topic, partition"
        return tuple(f"{topic}/{partition}" for topic, partition in self._rows(sql))

    def slices(self, begin_ms: int, end_ms: int) -> list[Slice]:
        """The stretch cut where about SLICE_ROWS readings are full; nothing where there are none."""
        minutes = self._rows(
            f"SELECT intDiv(toUnixTimestamp64Milli(time), {_MINUTE_MS}) AS minute, count() "
            f"FROM {self._where(begin_ms, end_ms)} GROUP BY minute ORDER BY minute"
        )
        found: list[Slice] = []
        rows, since_ms = 0, begin_ms
        for minute, count in minutes:
            rows += count
            if rows >= SLICE_ROWS:
                until_ms = min(end_ms, (minute + 1) * _MINUTE_MS)
                found.append(Slice(since_ms, until_ms, rows))
                rows, since_ms = 0, until_ms
        return [*found, Slice(since_ms, end_ms, rows)] if rows else found

    def first_ms(self) -> int | None:
        """The earliest event time; None without readings."""
        [(first_ms, count)] = self._rows(
            "SELECT toUnixTimestamp64Milli(min(time)), count() "
            f"FROM `{self._database}`.readings WHERE topic IN {{topics:Array(String)}}"
        )
        return int(first_ms) if count else None

    def read(self, part: Slice) -> dict[str, Stored]:
        """The readings of a slice by "topic/partition". Raises ClickHouseError."""
        sql = (
            "SELECT topic, partition, sensor_id, sensor_type, location, asset_id, unit, label, "
            f"toUnixTimestamp64Milli(time) AS time_ms, value, offset, idx, ifNull(seq, {NO_SEQ}) AS seq, attributes "
            f"FROM (SELECT * FROM `{self._database}`.readings FINAL WHERE time >= {_time(part.begin_ms)} "
            f"AND time < {_time(part.end_ms)} AND topic IN {{topics:Array(String)}}) "
            "ORDER BY topic, partition, offset, idx"
        )
        with explained("stored readings", self._client):
            table = self._client.query_arrow(
                sql,
                parameters={"topics": self._topics},
                settings={"output_format_arrow_low_cardinality_as_dictionary": 1},
            )
        return self._by_partition(table.unify_dictionaries().combine_chunks())

    def _by_partition(self, table: pa.Table) -> dict[str, Stored]:
        if not table.num_rows:
            return {}
        numbers = {name: table[name].to_numpy() for name in ("partition", "time_ms", "value", "offset", "idx", "seq")}
        label, labels = _coded(table["label"])
        known = np.array([self.labels.setdefault(text, len(self.labels)) for text in labels], np.int32)
        rows = Stored(
            self._series_codes(table),
            numbers["time_ms"],
            numbers["value"],
            numbers["offset"],
            numbers["idx"],
            numbers["seq"],
            known[label],
            np.array(table["attributes"].to_pylist(), np.object_),
        )
        topic, topics = _coded(table["topic"])
        partition = numbers["partition"].astype(np.int64)
        cuts = np.flatnonzero((np.diff(topic) != 0) | (np.diff(partition) != 0)) + 1
        begins, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(rows)]
        return {
            f"{topics[topic[begin]]}/{partition[begin]}": rows.take(slice(begin, end))
            for begin, end in zip(begins, ends, strict=True)
        }

    def _series_codes(self, table: pa.Table) -> Codes:
        columns = [_coded(table[name]) for name in Series._fields]
        key = np.zeros(table.num_rows, np.int64)
        for codes, values in columns:  # numbers stay small: at most rows times values
            _, key = np.unique(key * len(values) + codes, return_inverse=True)
        _, first = np.unique(key, return_index=True)
        every = [Series(*(values[codes[row]] for codes, values in columns)) for row in first.tolist()]
        known = np.array([self.series.code(self._complete(one)) for one in every], np.int32)
        return known[key]

    def _where(self, begin_ms: int, end_ms: int) -> str:
        return (
            f"`{self._database}`.readings WHERE time >= {_time(begin_ms)} AND time < {_time(end_ms)} "
            "AND topic IN {topics:Array(String)}"
        )

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        with explained("stored readings", self._client):
            return self._client.query(sql, parameters={"topics": self._topics}).result_rows


def closed(client: Client, *, lateness_ms: int) -> int | None:
    """The event time up to which the live flow has closed what it writes; None before it has closed anything."""
    with explained("how far the live flow is", client):
        [(end_ms, windows)] = client.query(
            "SELECT toUnixTimestamp64Milli(max(`end`)), count() FROM windows WHERE generation = 0"
        ).result_rows
        if windows:
            return int(end_ms)
        [(newest_ms, partitions)] = client.query(
            "SELECT toUnixTimestamp64Milli(min(newest)), count() FROM "
            "(SELECT max(time) AS newest FROM readings GROUP BY topic, partition)"
        ).result_rows
    return int(newest_ms) - lateness_ms if partitions else None


def just_stored(client: Client, *, to_ms: int, seconds: int) -> bool:
    """Whether the first windows that end at `to_ms` or later were stored within the last seconds.

    What belongs to the same moment may then still be on its way to other tables.
    """
    with explained("how far the live flow is", client):
        [(recent,)] = client.query(
            f"SELECT count() > 0 AND min(stored_at) >= now() - {seconds} FROM windows WHERE `end` >= {_time(to_ms)}"
        ).result_rows
    return bool(recent)


def _coded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """(n,) codes and the texts they stand for."""
    array = column.combine_chunks()
    array = array if isinstance(array, pa.DictionaryArray) else array.dictionary_encode()
    return array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist()


def _time(ms: int) -> str:
    return f"fromUnixTimestamp64Milli(toInt64({ms}))"
