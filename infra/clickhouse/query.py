"""Reading with SQL of one's own, and no more than reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained


@dataclass(frozen=True, slots=True)
class Result:
    """columns, types: names and ClickHouse types. rows: one tuple of Python values per row.

    truncated: there were more rows than asked for.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[Sequence[Any]]
    truncated: bool


def query(
    client: Client,
    sql: str,
    *,
    parameters: Mapping[str, str] | None = None,
    max_rows: int = 1000,
    timeout_s: int = 60,
) -> Result:
    """Run one statement that only reads; `FORMAT` must not be part of it.

    parameters: texts of its `{name:Type}`; the server reads them as their types.
    Raises ClickHouseError, also when the statement would write or takes longer than `timeout_s`.
    """
    settings = {
        "readonly": 2,
        "max_execution_time": timeout_s,
        # The server stops at the block that exceeds this, instead of sending a whole table.
        "max_result_rows": max_rows + 1,
        "result_overflow_mode": "break",
    }
    with explained("the query", client):
        result = client.query(sql, parameters=dict(parameters or {}), settings=settings)
    rows = list(result.result_rows)
    types = tuple(kind.name for kind in result.column_types)
    return Result(tuple(result.column_names), types, rows[:max_rows], truncated=len(rows) > max_rows)
