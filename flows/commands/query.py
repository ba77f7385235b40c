"""`streamgauge query`: SQL over what is stored."""

import csv
import json
import sys
from contextlib import nullcontext
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.commands.common import Invocation, wide_console
from infra.clickhouse.client import connect
from infra.clickhouse.query import Result
from infra.clickhouse.query import query as run_query


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One statement that reads.")],
    output: Annotated[Format, typer.Option("--format", "-f", help="json prints one object per line.")] = Format.table,
    limit: Annotated[int, typer.Option(min=1, help="Rows printed at most.")] = 1000,
) -> None:
    """Ask ClickHouse.

    While nothing runs, the data that the demo kept is opened for the question.

    **Examples**

    `streamgauge query "SELECT * FROM windows_final ORDER BY start DESC LIMIT 5"`

    `streamgauge query "SELECT detector, count() FROM predictions WHERE flagged GROUP BY detector"`
    """
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address:
        client = connect(address)
        with client if hasattr(client, "__enter__") else nullcontext():
            result = run_query(client, sql, max_rows=limit)
    _print(result, output)
    if result.truncated:
        typer.echo(f"there are more than {limit} rows: raise --limit", err=True)


def _print(result: Result, output: Format) -> None:
    if output is Format.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(result.columns)
        writer.writerows([_plain(value) for value in row] for row in result.rows)
    elif output is Format.json:
        for row in result.rows:
            plain = {name: _plain(value) for name, value in zip(result.columns, row, strict=True)}
            print(json.dumps(plain, default=str, ensure_ascii=False))
    else:
        table = Table(*result.columns, header_style="bold")
        for row in result.rows:
            table.add_row(*(_shown(value) for value in row))
        wide_console().print(table)


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S") + (f".{value.microsecond // 1000:03}" if value.microsecond else "")
    return str(value)
