"""Stored rows for export, page by page, in the format that is asked for; ClickHouse writes it, we pass it on.

A page is a range of keys in order of time: it begins behind the last key of the page before and ends with a key that
was looked up. So paging meets every row that is there exactly once, also while others are being written.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, LifoQueue
from typing import Any, Literal

import msgspec
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import Address, connect, explained
from operators.records import TABLES

Format = Literal["json", "ndjson", "csv", "parquet", "arrow"]

_FORMATS: dict[Format, str] = {
    "json": "JSONEachRow",
    "ndjson": "JSONEachRow",
    "csv": "CSVWithNames",
    "parquet": "Parquet",
    "arrow": "ArrowStream",
}
_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 60


class BadCursor(Exception):
    """A cursor that no page has given."""


class Busy(Exception):
    """As many exports run as may."""


@dataclass(frozen=True, slots=True)
class Export:
    """What can be had. view: of ClickHouse. time: what from and to mean. key: the rest of what names a row.

    filters: columns that can be asked for, by the name of the parameter.
    """

    name: str
    about: str
    view: str
    time: str
    key: tuple[str, ...]
    filters: Mapping[str, str]


_FILTERS = {
    "sensor": "sensor_id",
    "location": "location",
    "type": "sensor_type",
    "asset": "asset_id",
    "window": "window",
    "detector": "detector",
}


def _export(name: str, about: str, view: str, time: str, *more: str) -> Export:
    table = TABLES["readings" if name == "predictions" else name]
    columns = {column.name for column in table.columns} | set(more)
    key = tuple(column for column in (*table.identity, *more) if column != time)
    return Export(name, about, view, time, key, {one: c for one, c in _FILTERS.items() if c in columns})


EXPORTS = {
    one.name: one
    for one in (
        _export("readings", "readings with their verdicts", "readings_final", "time"),
        _export("windows", "closed windows with their aggregates", "windows_final", "start"),
        _export("predictions", "what each detector said of each reading", "predictions", "time", "detector"),
        _export("alerts", "alerts, and what people did about them", "alerts_current", "started_at"),
        _export("asset_verdicts", "verdicts on assets", "asset_verdicts_final", "time"),
        _export("data_quality", "gaps, stuck values, conflicts, silence", "data_quality_final", "start"),
    )
}
"""Every one there is, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for. from_ms <= time < to_ms, epoch milliseconds; None is no bound.

    filters: wanted values by column; any of them will do. cursor: of the page before.
    """

    export: Export
    form: Format
    limit: int
    from_ms: int | None = None
    to_ms: int | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cursor: str = ""


class Page:
    """One page. next: the cursor of the following one, "" when this is the last. Close it."""

    def __init__(self, exporter: "Exporter", client: Client, wanted: Wanted) -> None:
        self._exporter = exporter
        self._client = client
        self._stream: Any = None
        self._whole = False
        where, given = _conditions(wanted)
        self.next, upto = self._end(wanted, where, given)
        if upto:
            given |= upto
            where.append(f"{_key(wanted.export)} <= {_values(wanted.export, 'upto')}")
        sql = f"SELECT * FROM {wanted.export.view} {_where(where)} ORDER BY {_order(wanted.export)}"
        with explained("the export", client):
            self._stream = client.raw_stream(sql, given, _settings(wanted.form), _FORMATS[wanted.form])

    def __iter__(self) -> Iterator[bytes]:
        """The page in pieces. Raises ClickHouseError."""
        with explained("the export", self._client):
            yield from self._stream.stream(_CHUNK_BYTES, decode_content=True)
        self._whole = True

    def close(self) -> None:
        """Let go of it, also in the middle."""
        if self._whole:
            self._exporter.give_back(self._client)
        else:
            self._exporter.give_up(self._client, self._stream)

    def _end(self, wanted: Wanted, where: list[str], given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The cursor of the next page, and the parameters of this one's last key; nothing when it is the last."""
        export = wanted.export
        columns = ", ".join([f"toUnixTimestamp64Milli({_name(export.time)})", *map(_plain, export.key)])
        sql = (
            f"SELECT {columns} FROM {export.view} {_where(where)} ORDER BY {_order(export)} "
            f"LIMIT 2 OFFSET {wanted.limit - 1}"
        )
        with explained("the export", self._client):
            rows = self._client.query(sql, parameters=dict(given), settings=_LIMITS).result_rows
        if len(rows) < 2:
            return "", {}
        last: list[int | str] = [int(rows[0][0]), *map(str, rows[0][1:])]
        return _encode(export, last), {f"upto_{n}": value for n, value in enumerate(last)}


class Exporter:
    """Makes pages, so many at a time. Raises ClickHouseError."""

    def __init__(self, address: Address, *, at_a_time: int) -> None:
        self._address = address
        self._clients: LifoQueue[Client | None] = LifoQueue()
        for _ in range(at_a_time):
            self._clients.put(None)

    def page(self, wanted: Wanted) -> Page:
        """Blocks: for a thread. Raises Busy, BadCursor, ClickHouseError."""
        try:
            client = self._clients.get_nowait()
        except Empty:
            raise Busy from None
        try:
            client = client or connect(self._address)
            return Page(self, client, wanted)
        except BaseException:
            self.give_up(client, None)
            raise

    def give_back(self, client: Client) -> None:
        """It can be used again."""
        self._clients.put(client)

    def give_up(self, client: Client | None, stream: Any) -> None:
        """A new one takes its place."""
        if stream is not None:
            stream.close()
        if client is not None:
            client.close()
        self._clients.put(None)

    def close(self) -> None:
        """Let go of the connections."""
        while not self._clients.empty():
            client = self._clients.get_nowait()
            if client is not None:
                client.close()


_LIMITS = {"readonly": 2, "max_execution_time": _TIMEOUT_S}


def _settings(form: Format) -> dict[str, Any]:
    return {
        **_LIMITS,
        # An error in the middle is an error, and not half an answer.
        "wait_end_of_query": 1,
        "date_time_output_format": "iso",
        "output_format_json_array_of_rows": int(form == "json"),
        "output_format_json_quote_64bit_integers": 0,
        "output_format_json_quote_denormals": 0,
        "format_csv_null_representation": "",
        "output_format_arrow_string_as_string": 1,
        "output_format_parquet_string_as_string": 1,
    }


def _conditions(wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    export, time = wanted.export, _name(wanted.export.time)
    where: list[str] = []
    given: dict[str, Any] = {}
    for name, sign, moment in (("from", ">=", wanted.from_ms), ("to", "<", wanted.to_ms)):
        if moment is not None:
            where.append(f"{time} {sign} {_instant(f'{name}_ms')}")
            given[f"{name}_ms"] = moment
    for column, values in wanted.filters.items():
        where.append(f"{_name(column)} IN {{only_{column}:Array(String)}}")
        given[f"only_{column}"] = list(values)
    if wanted.cursor:
        after = _decode(export, wanted.cursor)
        given |= {f"after_{n}": value for n, value in enumerate(after)}
        # The first is implied, and lets ClickHouse skip what lies before.
        where += [f"{time} >= {_instant('after_0')}", f"{_key(export)} > {_values(export, 'after')}"]
    return where, given


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _name(column: str) -> str:
    return f"`{column}`"


def _plain(column: str) -> str:
    return f"toString({_name(column)})"


def _order(export: Export) -> str:
    return ", ".join(map(_name, (export.time, *export.key)))


def _key(export: Export) -> str:
    return f"({_order(export)})"


def _values(export: Export, prefix: str) -> str:
    kinds = _kinds(export)
    values = [f"{{{prefix}_{n}:{kind}}}" for n, kind in enumerate(kinds, 1)]
    return f"({', '.join([_instant(f'{prefix}_0'), *values])})"


def _kinds(export: Export) -> list[str]:
    """ClickHouse's types of the key's columns."""
    table = TABLES["readings" if export.name == "predictions" else export.name]
    types = {column.name: column.type for column in table.columns}
    return [types.get(name, "String").removeprefix("LowCardinality(").removesuffix(")") for name in export.key]


def _instant(parameter: str) -> str:
    return f"fromUnixTimestamp64Milli({{{parameter}:Int64}})"


def _encode(export: Export, key: Sequence[int | str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([export.name, *key])).decode().rstrip("=")


def _decode(export: Export, cursor: str) -> list[int | str]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        name, first, *rest = msgspec.json.decode(raw, type=list[int | str])
    except (ValueError, msgspec.DecodeError):
        raise BadCursor from None
    if name != export.name or not isinstance(first, int) or len(rest) != len(export.key):
        raise BadCursor
    for kind, value in zip(_kinds(export), rest, strict=True):
        if not isinstance(value, str) or (kind.startswith("Int") and not value.lstrip("-").isdecimal()):
            raise BadCursor
    return [first, *rest]
