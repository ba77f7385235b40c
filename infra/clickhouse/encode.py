"""Rows of a flow -> Arrow tables, by the column types of operators.records; whole columns at a time."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from infra.clickhouse.arrays import dictionary, numbers, offsets_of, texts
from operators.batches import NO_SEQ, ColumnData, Flags, Labels, Lists, Maps, Rows
from operators.records import TABLES

Encode = Callable[[ColumnData, int], pa.Array]
"""(column, number of rows) -> Arrow array of that many rows."""

_NUMBERS = {
    "Bool": pa.bool_(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
}


def to_arrow(rows: Rows) -> pa.Table:
    """An Arrow table that ClickHouse takes as it is; columns left out are left to ClickHouse's defaults.

    Shares memory with the arrays of `rows`, which must not change afterwards. ValueError names the column that does
    not fit.
    """
    try:
        encoders = _ENCODERS[rows.table]
    except KeyError:
        raise ValueError(f"no table {rows.table!r}: one of {', '.join(TABLES)}") from None
    if not rows.columns:
        raise ValueError(f"{len(rows)} rows of {rows.table} without a column")
    return pa.Table.from_arrays([_column(rows, name, encoders) for name in rows.columns], list(rows.columns))


def _column(rows: Rows, name: str, encoders: dict[str, Encode]) -> pa.Array:
    if name not in encoders:
        raise ValueError(f"{rows.table} has no column {name!r}: one of {', '.join(encoders)}")
    try:
        array = encoders[name](rows.columns[name], len(rows))
    except (pa.ArrowException, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{rows.table}.{name}: {error}") from error
    if len(array) != len(rows):
        raise ValueError(f"{rows.table}.{name}: {len(array)} values for {len(rows)} rows")
    return array


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables with the same columns under one another, as one record batch with one dictionary per column."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _numbers(kind: pa.DataType, *, nullable: bool) -> Encode:
    def encode(data: ColumnData, n: int) -> pa.Array:
        if isinstance(data, (int, float)):
            return numbers(np.full(n, data)).cast(kind)
        if isinstance(data, list):
            return _from_list(data, nullable=nullable).cast(kind)
        if isinstance(data, np.ndarray):
            return numbers(data, _missing(data) if nullable else None).cast(kind)
        raise _unfit(data, "numbers")

    return encode


def _missing(data: np.ndarray[Any, Any]) -> Flags | None:
    missing: Flags | None = None
    if data.dtype.kind == "f":
        missing = np.isnan(data)
    elif data.dtype == np.int64:
        missing = data == NO_SEQ
    return missing


def _from_list(data: list[Any], *, nullable: bool) -> pa.Array:
    none = np.fromiter((value is None for value in data), np.bool_, len(data))
    if none.any() and not nullable:
        raise ValueError(f"{none.sum()} values are None, and the column takes no NULL")
    values = np.array([0 if value is None else value for value in data], None if data else np.int64)
    missing = _missing(values) if nullable else None
    return numbers(values, none if missing is None else none | missing)


def _times(*, nullable: bool) -> Encode:
    whole = _numbers(pa.int64(), nullable=nullable)
    return lambda data, n: whole(data, n).cast(pa.timestamp("ms", tz="UTC"))


def _labels(data: ColumnData, n: int) -> pa.Array:
    """Dictionary-encoded text."""
    if isinstance(data, str):
        return dictionary(np.zeros(n, np.int32), [data])
    if isinstance(data, Labels):
        return dictionary(data.codes, data.values)
    if isinstance(data, (list, np.ndarray)):
        return texts(_plain(data), pa.string()).dictionary_encode()
    raise _unfit(data, "text")


def _text(data: ColumnData, n: int) -> pa.Array:
    """Text or raw bytes: ClickHouse's String holds both."""
    if isinstance(data, str):
        return texts([data] * n, pa.binary())
    if isinstance(data, Labels):
        return _labels(data, n).cast(pa.string()).cast(pa.binary())
    if isinstance(data, (list, np.ndarray)):
        return texts(_plain(data), pa.binary())
    raise _unfit(data, "text")


def _uuids(data: ColumnData, n: int) -> pa.Array:
    if isinstance(data, str):
        data = [data] * n
    if isinstance(data, list):
        return texts([str(uuid.UUID(str(value))) for value in data], pa.string())
    raise _unfit(data, "UUIDs")


def _maps(value_kind: pa.DataType) -> Encode:
    def encode(data: ColumnData, n: int) -> pa.Array:
        if isinstance(data, list) and all(isinstance(row, dict) for row in data):
            flat = [value for row in data for value in row.values()]
            values = np.array(flat, np.float64)
            offsets, keys = _ragged(data)
        elif isinstance(data, Maps):
            present = np.ones(data.values.shape, np.bool_) if data.present is None else data.present
            offsets, keys = _chosen(data.keys, present)
            values = data.values.ravel() if data.present is None else data.values[data.present]
        else:
            raise _unfit(data, "maps")
        return pa.MapArray.from_arrays(offsets, keys, numbers(values).cast(value_kind))

    return encode


def _name_lists(data: ColumnData, n: int) -> pa.Array:
    if isinstance(data, list):
        return pa.ListArray.from_arrays(*_ragged(data))
    if isinstance(data, Lists):
        return pa.ListArray.from_arrays(*_chosen(data.names, data.chosen))
    raise _unfit(data, "lists of names")


def _ragged(rows: Sequence[Any]) -> tuple[pa.Array, pa.Array]:
    """Offsets and the names (elements, keys) of plain Python lists or dicts."""
    offsets = offsets_of(np.fromiter(map(len, rows), np.int64, len(rows)))
    return offsets, texts([name for row in rows for name in row], pa.string())


def _chosen(names: tuple[str, ...], chosen: Flags) -> tuple[pa.Array, pa.Array]:
    """Offsets and the names of the True cells of an (n, k) matrix, row by row."""
    if chosen.ndim != 2 or chosen.shape[1] != len(names) or len(set(names)) != len(names):
        raise ValueError(f"a matrix of shape {chosen.shape} needs as many names as columns, all different: {names}")
    codes = np.nonzero(chosen)[1]
    return offsets_of(chosen.sum(axis=1)), dictionary(codes, names).cast(pa.string())


def _plain(data: list[Any] | np.ndarray[Any, Any]) -> list[Any]:
    return data if isinstance(data, list) else data.tolist()


def _unfit(data: ColumnData, wanted: str) -> TypeError:
    return TypeError(f"{wanted} expected, not {type(data).__name__}")


def _encoder(kind: str) -> Encode:
    bare = kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind
    nullable = bare != kind
    if bare in _NUMBERS:
        return _numbers(_NUMBERS[bare], nullable=nullable)
    if bare == "DateTime64(3, 'UTC')":
        return _times(nullable=nullable)
    return {
        "LowCardinality(String)": _labels,
        "String": _text,
        "UUID": _uuids,
        "Array(LowCardinality(String))": _name_lists,
        "Map(LowCardinality(String), Float32)": _maps(pa.float32()),
        "Map(LowCardinality(String), Float64)": _maps(pa.float64()),
    }[kind]


_ENCODERS: dict[str, dict[str, Encode]] = {
    table.name: {column.name: _encoder(column.type) for column in table.columns} for table in TABLES.values()
}
