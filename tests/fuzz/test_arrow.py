"""Tables of every kind of column, whole and damaged: each row a reading or a reject, or the message one reject."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import payloads
from tests.operators.payloads import NOW_MS, arrow

ROWS = 3
_texts = st.none() | st.sampled_from(
    ["a", "", "b" * 256, "c" * 257, "Wärme", "\0", "2026-01-31T08:00:00Z", "{}", "[1]"]
)
_integers = st.none() | st.sampled_from([0, 1, -1, NOW_MS, NOW_MS * 1000, 2**62, -(2**63), 2**63 - 1])
_floats = st.none() | st.floats()


def _column(values: st.SearchStrategy[Any], *kinds: pa.DataType) -> st.SearchStrategy[pa.Array]:
    """Arrays of ROWS values in one of the kinds; what does not fit into it is null."""
    lists = st.lists(values, min_size=ROWS, max_size=ROWS)
    return st.builds(_array, lists, st.sampled_from(kinds), st.booleans())


def _array(values: list[Any], kind: pa.DataType, dictionary: bool) -> pa.Array:
    array = pa.concat_arrays([_one(value, kind) for value in values])
    return array.dictionary_encode() if dictionary and pa.types.is_string(kind) else array


def _one(value: Any, kind: pa.DataType) -> pa.Array:
    try:
        return pa.array([value], kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.nulls(1, kind)


_text_columns = _column(_texts, pa.string(), pa.large_string(), pa.string_view(), pa.null())
_odd_columns = st.one_of(
    _column(st.none() | st.binary(max_size=4), pa.binary(), pa.large_binary()),
    _column(st.none() | st.booleans(), pa.bool_()),
    _column(st.none() | st.lists(st.integers(0, 9), max_size=2), pa.list_(pa.int32())),
    _column(st.none() | st.decimals(-99, 99, places=2).map(Decimal), pa.decimal128(9, 2), pa.decimal256(40, 2)),
)
_number_columns = _column(_floats, pa.float64(), pa.float32(), pa.float16())
_integer_columns = _column(
    _integers,
    *(pa.int64(), pa.uint64(), pa.int8(), pa.timestamp("ms", "UTC"), pa.timestamp("ns", "Asia/Tokyo")),
    *(pa.timestamp("s", "UTC"), pa.timestamp("us"), pa.date64(), pa.duration("ms")),
)
_any = _text_columns | _odd_columns | _number_columns | _integer_columns
_tables = st.fixed_dictionaries(
    {"sensor_id": _text_columns | _any, "value": _number_columns | _any, "timestamp": _integer_columns | _any},
    optional=dict.fromkeys(
        ("seq", "location", "unit", "sensor_type", "asset_id", "attributes", "label", "other"), _any
    ),
)
_payloads = st.builds(
    lambda columns, form, compression: arrow(columns, form=form, compression=compression),
    _tables,
    st.sampled_from(["stream", "file"]),
    st.sampled_from([None, "lz4", "zstd"]),
)


@given(_payloads)
def test_every_row_is_read_or_refused(payload: bytes) -> None:
    payloads.check(payload)


@given(_payloads, st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_damage_refuses_the_message_or_its_rows(payload: bytes, damage: list[tuple[float, bytes]]) -> None:
    damaged = bytearray(payload)
    for place, content in damage:
        at = 8 + int(place * (len(payload) - 8))
        damaged[at : at + len(content)] = content
    payloads.check(bytes(damaged))
