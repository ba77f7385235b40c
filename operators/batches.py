"""The columnar items that travel through a flow: raw messages, readings, rows to store.

A batch is numpy columns of one length plus a dictionary of the series that occur in it, so that no Python object is
made per reading after decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Series(NamedTuple):
    """What readings of one source have in common: the labels they can be grouped by."""

    sensor_id: str
    sensor_type: str = ""
    location: str = ""
    asset_id: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Messages:
    """Consecutive Kafka messages of one partition, in offset order.

    payloads: raw bytes; None for a tombstone.
    offsets, kafka_ms: one integer per message; kafka_ms is the message's own time stamp, epoch milliseconds.
    """

    payloads: list[bytes | None]
    offsets: Ints
    kafka_ms: Ints

    def __len__(self) -> int:
        return len(self.payloads)


@dataclass(frozen=True, slots=True)
class Labels:
    """A dictionary-encoded text column: values[codes[i]] is row i."""

    codes: Codes
    values: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)

    def tolist(self) -> list[str]:
        """The plain texts, one per row."""
        return [self.values[code] for code in self.codes.tolist()]


class SeriesDictionary:
    """The series of one source, numbered as they are first seen; it only grows.

    Consumers in the same process may keep, per dictionary, an array from its codes to numbers of their own.
    """

    __slots__ = ("_codes", "values")

    def __init__(self, values: Sequence[Series] = ()) -> None:
        self.values: list[Series] = list(values)
        self._codes = {series: code for code, series in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def code(self, series: Series) -> int:
        """The number of a series, given out on first sight."""
        code = self._codes.setdefault(series, len(self.values))
        if code == len(self.values):
            self.values.append(series)
        return code


ON_TIME, LATE, AFTER_IDLE = 0, 1, 2
"""Values of ReadingBatch.lateness."""

NO_SEQ = np.iinfo(np.int64).min
"""Stands for a missing `seq`."""


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Readings of one partition in offset order, one row each; all columns have length n.

    series: the dictionary; row i belongs to series.values[code[i]].
    time_ms: event time, epoch milliseconds.
    offset, idx: where the reading was: message, position in it.
    watermark_ms: the partition's watermark at the row (the row itself included).
    lateness: ON_TIME, LATE or AFTER_IDLE.
    seq: the sensor's number, NO_SEQ where missing; None when no row has one.
    attributes: JSON text per row; None when no row has any.
    label: ground truth; None when no row has one.
    """

    series: SeriesDictionary
    code: Codes
    time_ms: Ints
    value: Floats
    offset: Ints
    idx: Codes
    watermark_ms: Ints
    lateness: npt.NDArray[np.uint8]
    seq: Ints | None = None
    attributes: list[str] | None = None
    label: Labels | None = None

    def __len__(self) -> int:
        return len(self.code)

    def take(self, rows: npt.NDArray[np.intp]) -> "ReadingBatch":
        """The given rows, in the given order; the dictionary is shared."""
        return ReadingBatch(
            self.series,
            self.code[rows],
            self.time_ms[rows],
            self.value[rows],
            self.offset[rows],
            self.idx[rows],
            self.watermark_ms[rows],
            self.lateness[rows],
            None if self.seq is None else self.seq[rows],
            None if self.attributes is None else [self.attributes[row] for row in rows.tolist()],
            None if self.label is None else Labels(self.label.codes[rows], self.label.values),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled (for another process) with only those series that occur."""
        used, code = np.unique(self.code, return_inverse=True)
        series = SeriesDictionary([self.series.values[u] for u in used.tolist()])
        columns = (self.time_ms, self.value, self.offset, self.idx, self.watermark_ms, self.lateness)
        return ReadingBatch, (series, code.astype(np.int32), *columns, self.seq, self.attributes, self.label)


@dataclass(frozen=True, slots=True)
class Maps:
    """A column of maps from names to numbers: row i holds keys[k] -> values[i, k].

    keys: all different.
    values: (n, k) numbers; NaN stays NaN.
    present: (n, k) False where a row lacks the key; None when every row has every key.
    """

    keys: tuple[str, ...]
    values: Floats
    present: Flags | None = None

    def __len__(self) -> int:
        return len(self.values)

    def tolist(self) -> list[dict[str, float]]:
        """One plain dict per row."""
        if self.present is None:
            return [dict(zip(self.keys, row, strict=True)) for row in self.values.tolist()]
        rows = zip(self.values.tolist(), self.present.tolist(), strict=True)
        return [{k: v for k, v, p in zip(self.keys, row, there, strict=True) if p} for row, there in rows]


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists of names: row i holds, in order, those names[k] with chosen[i, k].

    chosen: (n, k).
    """

    names: tuple[str, ...]
    chosen: Flags

    def __len__(self) -> int:
        return len(self.chosen)

    def tolist(self) -> list[list[str]]:
        """One plain list per row."""
        return [[n for n, c in zip(self.names, row, strict=True) if c] for row in self.chosen.tolist()]


ColumnData = npt.NDArray[Any] | Labels | Maps | Lists | list[Any] | str | int
"""One column of rows: an array, dictionary-encoded text, maps, lists of names, a plain list, or one value for all rows.
Times are int64 epoch milliseconds. In nullable columns NaN, in int64 arrays NO_SEQ, stands for NULL; a list may hold
None, and dicts or lists for columns of maps or lists."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to store in one table of `records.TABLES`. Columns left out take their type's default."""

    table: str
    length: int
    columns: dict[str, ColumnData] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.length

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dict per row; for tests and small outputs."""
        plain: dict[str, list[Any]] = {}
        for name, data in self.columns.items():
            if isinstance(data, (str, int)):
                plain[name] = [data] * self.length
            else:
                plain[name] = data if isinstance(data, list) else data.tolist()
        return [{name: values[i] for name, values in plain.items()} for i in range(self.length)]
