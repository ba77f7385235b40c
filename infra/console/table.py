"""Rows for a page, column by column: as JSON for its charts and as CSV for people."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Kind = Literal["time", "number", "text", "other"]


@dataclass(frozen=True, slots=True)
class Table:
    """columns: name -> values, all of one length; times are epoch milliseconds, numbers that are none are None.

    kinds: what each column holds. about: what a chart must know beside the rows, such as `bucket_ms`.
    """

    columns: Mapping[str, list[Any]]
    kinds: Mapping[str, Kind]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dictionary each."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))

    def with_about(self, **about: Any) -> "Table":
        """The same rows, and more about them."""
        return Table(self.columns, self.kinds, {**self.about, **about})

    def json(self) -> bytes:
        """For a page."""
        return msgspec.json.encode({"columns": self.columns, "kinds": self.kinds, "about": self.about})

    def csv(self) -> bytes:
        """With a header; times as RFC 3339."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            writer.writerow([_cell(v, k) for v, k in zip(values, self.kinds.values(), strict=True)])
        return out.getvalue().encode()


def table_of(names: Sequence[str], types: Sequence[str], columns: Sequence[Sequence[Any]]) -> Table:
    """Of what ClickHouse has answered. types: its own names for them."""
    kinds = {name: kind_of(kind) for name, kind in zip(names, types, strict=True)}
    values = columns or [()] * len(names)
    return Table({n: _plain(v, kinds[n]) for n, v in zip(names, values, strict=True)}, kinds)


def kind_of(clickhouse_type: str) -> Kind:
    """What a column of such a type holds."""
    inner = clickhouse_type
    for wrapper in ("LowCardinality(", "Nullable("):
        if inner.startswith(wrapper):
            inner = inner.removeprefix(wrapper)[:-1]
    if inner.startswith("DateTime"):
        return "time"
    if inner.startswith(("Int", "UInt", "Float", "Decimal")):
        return "number"
    return "text" if inner.startswith(("String", "FixedString", "Enum", "UUID")) else "other"


def _plain(values: Sequence[Any], kind: Kind) -> list[Any]:
    if kind == "time":
        return [None if one is None else round(one.timestamp() * 1_000) for one in values]
    if kind == "number":
        return [None if isinstance(one, float) and not math.isfinite(one) else one for one in values]
    return [str(one) if kind == "text" and one is not None else one for one in values]


def _cell(value: Any, kind: Kind) -> Any:
    if value is None:
        return ""
    if kind == "time":
        return datetime.fromtimestamp(value / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if kind == "other":
        return msgspec.json.encode(value).decode()
    # A spreadsheet takes what begins so for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
