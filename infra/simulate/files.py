"""Rows of CSV, JSONL and Parquet files, plain or gzipped, as they stand in the file: no type is guessed.

Reading is streaming; memory per open file is bounded (for Parquet by the size of its row groups).
"""

import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from infra.simulate.cells import Cell

_BLOCK_BYTES = 1 << 16
"""The longest CSV row; the reader holds up to 33 such blocks, 2 MB a file."""
_LINE_BYTES = 1 << 20
"""The longest JSON line."""
_PARQUET_ROWS = 4096
_MARK = b"\xef\xbb\xbf"
_BYTES = "latin-1"
"""CSV is read as if each byte were a character: of others than UTF-8 the reader refuses whole blocks."""


class ReplayError(Exception):
    """A file cannot be replayed; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. line: counted from 1, the header included; cells by column name."""

    line: int
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is none."""

    line: int
    reason: str


def stem(path: Path) -> str:
    """The file's name without .gz and format."""
    return _SUFFIX.sub("", path.name)


def rows(path: Path) -> Generator[Row | Unreadable]:
    """All rows of a file; close the iterator when leaving early. Raises ReplayError."""
    match = _SUFFIX.search(path.name)
    if match is None:
        raise ReplayError(f"{path}: not a known format; known are .csv, .tsv, .jsonl, .ndjson and .parquet, also .gz")
    reader = _READERS[match[1].lower()]
    try:
        yield from reader(path, bool(match[2]))
    except FileNotFoundError:
        raise ReplayError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """Its first line, which may quote the file."""
    first = str(error).partition("\n")[0] or type(error).__name__
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in first)


def _opened(path: Path, zipped: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if zipped else path.open("rb")


def _csv_rows(path: Path, zipped: bool) -> Iterator[Row | Unreadable]:
    with _opened(path, zipped) as file:
        first = file.readline(_LINE_BYTES).removeprefix(_MARK)
    if not first.strip():
        return
    encoded, delimiter = _csv_header(first)
    names = [name.encode(_BYTES).decode() for name in encoded]
    _check_header(path, names)
    refused: dict[int, str] = {}

    def refuse(row: Any) -> str:
        refused[row.number] = f"has {row.actual_columns} columns, the header has {row.expected_columns}"
        return "skip"

    line = 2
    with _opened(path, zipped) as file:
        if file.read(len(_MARK)) != _MARK:
            file.seek(0)
        reader = pyarrow.csv.open_csv(
            file,
            # One thread, or rows would not know their numbers.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, encoding=_BYTES),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=refuse
            ),
            # Texts, so that neither types nor empty cells are guessed.
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(encoded, pa.string())),
        )
        with reader:
            for batch in reader:
                for cells in zip(*(_texts(column) for column in batch.columns), strict=True):
                    while line in refused:
                        yield Unreadable(line, refused.pop(line))
                        line += 1
                    if any(cells):  # else a blank line
                        yield Row(line, dict(zip(names, cells, strict=True)))
                    line += 1
    for line, reason in sorted(refused.items()):
        yield Unreadable(line, reason)


def _csv_header(first: bytes) -> tuple[list[str], str]:
    unquoted = re.sub(rb'"[^"]*"', b"", first)
    delimiter = max(",;\t|", key=lambda mark: unquoted.count(mark.encode()))
    header = pyarrow.csv.read_csv(
        pa.BufferReader(first),
        read_options=pyarrow.csv.ReadOptions(encoding=_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
    )
    return header.column_names, delimiter


def _check_header(path: Path, names: list[str]) -> None:
    _check_names(path, names)
    if any(map(_is_date, names)) or all(map(_is_number, names)):
        raise ReplayError(f"{path}: the first line holds data; put a line with the names of the columns before it")


def _is_date(name: str) -> bool:
    try:
        datetime.fromisoformat(name.strip())
    except ValueError:
        return False
    return "-" in name


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _check_names(path: Path, names: list[str]) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ReplayError(f"{path}: several columns are called {', '.join(map(repr, double))}; rename them")


def _texts(column: Any) -> list[str]:
    return [_text(cell) for cell in column.to_pylist()]


def _text(cell: str) -> str:
    """What its bytes say. Others than UTF-8 get a mark, unparsable as a number or time, and visible as text."""
    return cell if cell.isascii() else cell.encode(_BYTES).decode(errors="replace")


def _jsonl_rows(path: Path, zipped: bool) -> Iterator[Row | Unreadable]:
    with _opened(path, zipped) as file:
        line = 0
        while text := file.readline(_LINE_BYTES):
            line += 1
            if not text.endswith(b"\n") and len(text) == _LINE_BYTES:
                while (rest := file.readline(_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield Unreadable(line, f"longer than {_LINE_BYTES} bytes")
            elif text.strip():
                yield _json_row(line, text.removeprefix(_MARK))


def _json_row(line: int, text: bytes) -> Row | Unreadable:
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(line, f"not JSON: {error}")
    if not isinstance(fields, dict):
        return Unreadable(line, "not a JSON object")
    return Row(line, fields)


def _parquet_rows(path: Path, zipped: bool) -> Iterator[Row | Unreadable]:
    with _opened(path, zipped) as file, tempfile.TemporaryFile() as seekable:
        if zipped:
            shutil.copyfileobj(file, seekable)
        with pyarrow.parquet.ParquetFile(seekable if zipped else file) as parquet:
            _check_names(path, parquet.schema_arrow.names)
            line = 0
            for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS):
                columns = {name: _values(batch.column(name)) for name in batch.schema.names}
                for cells in zip(*columns.values(), strict=True):
                    line += 1
                    yield Row(line, dict(zip(columns, cells, strict=True)))


def _values(column: Any) -> list[Cell]:
    if pa.types.is_timestamp(column.type):
        # Nanoseconds have no plain Python type.
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    values: list[Cell] = column.to_pylist()
    return values


_READERS = {
    "csv": _csv_rows,
    "tsv": _csv_rows,
    "txt": _csv_rows,
    "jsonl": _jsonl_rows,
    "ndjson": _jsonl_rows,
    "json": _jsonl_rows,
    "parquet": _parquet_rows,
    "pq": _parquet_rows,
}
_SUFFIX = re.compile(rf"\.({'|'.join(_READERS)})(\.gz)?$", re.IGNORECASE)
