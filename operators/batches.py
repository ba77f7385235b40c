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


ColumnData = npt.NDArray[Any] | Labels | list[Any] | str | int
"""One column of rows: an array, dictionary-encoded text, a list, or one value for all rows.
Times are int64 epoch milliseconds; NaN stands for NULL in nullable number columns; a list may hold None."""


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
