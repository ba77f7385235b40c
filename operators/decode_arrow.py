"""Arrow IPC payloads, stream or file: columns by name, checked by column instead of by element.

A fault of the schema refuses the message; a fault of a row refuses that row.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from struct import error as StructError
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from operators.arrow_size import unfolded_bytes
from operators.batches import NO_SEQ, Codes, Flags, Floats, Ints, Labels
from operators.records import Reading
from operators.rejects import Fault
from operators.series_codes import SeriesCodes
from operators.timestamps import to_ms

_STREAM, _FILE = b"\xff\xff\xff\xff", b"ARROW1\0\0"

MAX_UNFOLDED_BYTES = 64 * 1024 * 1024
"""Size of all buffers of one message after decompression."""

_MAX_TEXT = 256  # characters of a label, as in records.Reading
_REQUIRED = ("sensor_id", "value", "timestamp")
_LABELS = ("sensor_id", "sensor_type", "location", "asset_id", "unit")


class ArrowRefused(Exception):
    """The message as a whole cannot be read; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class ArrowColumns:
    """n rows as columns; rows in `faults` are not good, whatever their columns say."""

    code: Codes
    time_ms: Ints
    value: Floats
    seq: Ints | None
    attributes: list[str] | None
    label: Labels | None
    faults: dict[int, Fault]


def is_arrow(payload: bytes) -> bool:
    """Whether it begins as an Arrow IPC stream or file does."""
    return payload.startswith((_STREAM, _FILE))


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever pyarrow says about a broken payload refuses the message."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, StructError) as error:
        raise ArrowRefused(Fault("bad_arrow", f"not readable Arrow IPC: {str(error)[:300]}")) from None


def read_table(payload: bytes, *, max_rows: int) -> Any:
    """The payload as a valid pyarrow.Table. Raises ArrowRefused."""
    # A file holds a stream between its magic bytes and its footer; the footer is not needed.
    stream = pa.py_buffer(payload[len(_FILE) :] if payload.startswith(_FILE) else payload)
    with _refusing():
        size = unfolded_bytes(pa.ipc.MessageReader.open_stream(stream))
        if size > MAX_UNFOLDED_BYTES:
            detail = f"{size} bytes when decompressed, {MAX_UNFOLDED_BYTES} are allowed; split the message"
            raise ArrowRefused(Fault("too_large", detail))
        table = pa.ipc.open_stream(stream).read_all()
        if table.num_rows > max_rows:
            detail = f"{table.num_rows} readings in one message, {max_rows} are allowed; split the message"
            raise ArrowRefused(Fault("too_large", detail))
        table.validate(full=True)
        if len(set(table.column_names)) < table.num_columns:
            raise ArrowRefused(Fault("bad_arrow", "two columns have the same name"))
        return table


def to_columns(table: Any, codes: SeriesCodes) -> ArrowColumns:
    """A table's rows as columns. Raises ArrowRefused when a needed column is absent or of a wrong type."""
    for name in _REQUIRED:
        if name not in table.column_names:
            raise ArrowRefused(Fault("missing_field", f"{name}: there is no such column"))
    faults: dict[int, Fault] = {}
    with _refusing():
        time_ms = _times(table, faults)
        value = _values(table, faults)
        texts = [_text(table, name, faults) for name in _LABELS]
        return ArrowColumns(
            _series(texts, codes, faults, table.num_rows),
            time_ms,
            value,
            _seq(table),
            _attributes(table, faults),
            _text(table, "label", faults) if "label" in table.column_names else None,
            faults,
        )


def row_text(table: Any, row: int) -> bytes:
    """One row's fields of a reading as JSON, for people to read."""
    names = [name for name in Reading.__struct_fields__ if name in table.column_names]
    return json.dumps({name: _plain(table.column(name)[row]) for name in names}, default=str).encode()


def _plain(scalar: Any) -> Any:
    if pa.types.is_timestamp(scalar.type):
        return scalar.value  # may lie outside of datetime's range
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError):
        return str(scalar)


def _wrong_type(name: str, expected: str, found: Any) -> ArrowRefused:
    return ArrowRefused(Fault("wrong_type", f"{name}: expected a column of {expected}, got {found}"))


def _missing(name: str, null: Flags, faults: dict[int, Fault]) -> None:
    for row in np.flatnonzero(null).tolist():
        faults.setdefault(row, Fault("missing_field", f"{name}: is null"))


def _nulls(column: Any) -> Flags:
    if column.null_count == 0:
        return np.zeros(len(column), np.bool_)
    return np.array(column.is_null(), np.bool_)


def _values(table: Any, faults: dict[int, Fault]) -> Floats:
    column = table.column("value")
    kinds = pa.types
    if not (kinds.is_integer(column.type) or kinds.is_floating(column.type) or kinds.is_decimal(column.type)):
        raise _wrong_type("value", "numbers", column.type)
    _missing("value", _nulls(column), faults)
    # Nulls become NaN here; they are faults already.
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def _times(table: Any, faults: dict[int, Fault]) -> Ints:
    column = table.column("timestamp")
    _missing("timestamp", _nulls(column), faults)
    if _is_text(column.type):
        return _times_of_text(_dictionary(column, "timestamp"), faults)
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            detail = "timestamp: the column has no time zone; give it one (timestamp[ms, tz=UTC])"
            raise ArrowRefused(Fault("timestamp_format", detail))
        return _scaled(_integers(column), column.type.unit)
    if not pa.types.is_integer(column.type):
        raise _wrong_type("timestamp", "integers (epoch ms), timestamps with time zone or RFC 3339 text", column.type)
    return _integers(column)


def _integers(column: Any) -> Ints:
    """(n,) 64-bit integers, 0 for null; what is larger becomes the largest."""
    integers = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    numbers = integers.fill_null(0).to_numpy()
    limit = np.iinfo(np.int64).max
    clipped: Ints = np.minimum(numbers, numbers.dtype.type(min(limit, np.iinfo(numbers.dtype).max))).astype(np.int64)
    return clipped


def _scaled(numbers: Ints, unit: str) -> Ints:
    if unit == "s":
        limit = np.iinfo(np.int64).max // 1000
        return np.clip(numbers, -limit, limit) * 1000
    return numbers // {"ms": 1, "us": 1_000, "ns": 1_000_000}[unit]


def _times_of_text(texts: Labels, faults: dict[int, Fault]) -> Ints:
    of_text, wrong = to_ms(texts.values[1:])  # the first stands for null
    for row in _rows_of(texts, [code + 1 for code in wrong]):
        faults.setdefault(row, wrong[int(texts.codes[row]) - 1])
    return np.concatenate([np.zeros(1, np.int64), of_text])[texts.codes]


def _seq(table: Any) -> Ints | None:
    if "seq" not in table.column_names or pa.types.is_null(table.column("seq").type):
        return None
    column = table.column("seq")
    if not pa.types.is_integer(column.type):
        raise _wrong_type("seq", "integers", column.type)
    return np.where(_nulls(column), NO_SEQ, _integers(column))


def _attributes(table: Any, faults: dict[int, Fault]) -> list[str] | None:
    if "attributes" not in table.column_names:
        return None
    texts = _dictionary(table.column("attributes"), "attributes")
    wrong = [code for code, text in enumerate(texts.values) if text and not _is_object(text)]
    for row in _rows_of(texts, wrong):
        faults.setdefault(row, Fault("wrong_type", "attributes: expected the text of a JSON object"))
    return texts.tolist()


def _is_object(text: str) -> bool:
    try:
        return bytes(msgspec.json.decode(text, type=msgspec.Raw))[:1] == b"{"
    except (msgspec.DecodeError, RecursionError):
        return False


def _series(texts: list[Labels], codes: SeriesCodes, faults: dict[int, Fault], rows: int) -> Codes:
    """(n,) numbers of completed series; 0 for rows at fault, whose labels must not be remembered."""
    good = np.delete(np.arange(rows), list(faults))
    columns = (Labels(text.codes[good], text.values).tolist() for text in texts)
    result = np.zeros(rows, np.int32)
    result[good] = [codes.code(labels) for labels in zip(*columns, strict=True)]
    return result


def _text(table: Any, name: str, faults: dict[int, Fault]) -> Labels:
    """A column of short text; "" where it is null or absent."""
    if name not in table.column_names:
        return Labels(np.zeros(table.num_rows, np.int32), [""])
    column = table.column(name)
    if name == "sensor_id":
        _missing(name, _nulls(column), faults)
    texts = _dictionary(column, name)
    least = 1 if name == "sensor_id" else 0
    wrong = [code for code, text in enumerate(texts.values) if code and not least <= len(text) <= _MAX_TEXT]
    for row in _rows_of(texts, wrong):
        faults.setdefault(row, Fault("text_length", f"{name}: expected {least} to {_MAX_TEXT} characters"))
    return texts


def _rows_of(texts: Labels, codes: list[int]) -> list[int]:
    rows: list[int] = np.flatnonzero(np.isin(texts.codes, codes)).tolist() if codes else []
    return rows


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _dictionary(column: Any, name: str) -> Labels:
    """A column of text as codes; code 0 is null, as ""."""
    if pa.types.is_null(column.type):
        return Labels(np.zeros(len(column), np.int32), [""])
    if not _is_text(column.type):
        raise _wrong_type(name, "text", column.type)
    if pa.types.is_dictionary(column.type):
        encoded = column.unify_dictionaries().combine_chunks()
    else:
        _check_views(column.chunks, name)
        encoded = column.combine_chunks().dictionary_encode()
    _check_views([encoded.dictionary], name)
    indices = encoded.indices
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(-1)
    codes = indices.to_numpy().astype(np.int32) + np.int32(1)
    return Labels(codes, ["", *(text or "" for text in encoded.dictionary.to_pylist())])


def _check_views(arrays: list[Any], name: str) -> None:
    """Views may all point at one long text, so that few bytes unfold into many."""
    for array in arrays:
        if not pa.types.is_string_view(array.type):
            continue
        # A view is four 32-bit numbers, the first its length.
        lengths = np.frombuffer(array.buffers()[1], np.int32)[::4][array.offset : array.offset + len(array)]
        size = int(lengths.astype(np.int64)[~_nulls(array)].sum())
        if size > MAX_UNFOLDED_BYTES:
            detail = f"{name}: {size} bytes of text, {MAX_UNFOLDED_BYTES} are allowed; split the message"
            raise ArrowRefused(Fault("too_large", detail))
