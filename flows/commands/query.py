"""`streamgauge query`: SQL over what is stored."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, wide_console
from flows.settings import Duration
from infra.clickhouse.client import Client, connect
from infra.clickhouse.named import NamedQuery, named_queries, named_query
from infra.clickhouse.query import Result
from infra.clickhouse.query import query as run_query
from infra.simulate import cells


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One statement that reads.", show_default=False)] = "",
    name: Annotated[str, typer.Option("--name", "-n", help="A named query instead; see --list.")] = "",
    since: Annotated[str, typer.Option(help='Its parameter `since`: a time, or how long ago ("1h").')] = "",
    until: Annotated[str, typer.Option(help="Its parameter `until`, likewise.")] = "",
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="Any parameter of it: k=v.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say which named queries there are.")] = False,
    output: Annotated[Format, typer.Option("--format", "-f", help="json prints one object per line.")] = Format.table,
    limit: Annotated[int, typer.Option(min=1, help="Rows printed at most.")] = 1000,
) -> None:
    """Ask ClickHouse.

    While nothing runs, the data that the demo kept is opened for the question.

    **Examples**

    `streamgauge query "SELECT * FROM windows_final ORDER BY start DESC LIMIT 5"`

    `streamgauge query --name detector_agreement --since 1h`

    `streamgauge query --list`
    """
    if list_:
        _list(named_queries())
        return
    if bool(sql) == bool(name):
        raise typer.BadParameter("give one statement, or --name of a named query (--list says which there are)")
    given = _given(since, until, param or [])
    if given and not name:
        raise typer.BadParameter("only a named query takes parameters", param_hint="--since, --until, --param")
    asked = named_query(name) if name else None
    texts = _bound(asked, given) if asked else {}
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address, connect(address) as client:
        result = run_query(client, asked.sql if asked else sql, parameters=texts, max_rows=limit)
        nothing = _nothing(client, texts) if "since" in texts and not result.rows else ""
    columns = result.columns or (asked.columns if asked else ())
    _print(columns, result, output)
    if result.truncated:
        typer.echo(f"there are more than {limit} rows: raise --limit", err=True)
    if nothing:
        typer.echo(nothing, err=True)


def _given(since: str, until: str, params: Sequence[str]) -> dict[str, str]:
    given = {name: text for name, text in (("since", since), ("until", until)) if text}
    for one in params:
        name, equals, text = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one!r} is not name=value", param_hint="--param")
        given[name] = text
    return given


def _bound(asked: NamedQuery, given: dict[str, str]) -> dict[str, str]:
    """Every parameter as the server reads it; instants are told from "1h", "now" and the like."""
    texts = asked.with_defaults(given)
    now = datetime.now(UTC)
    return {key: _instant(text, key, now) if asked.parameter(key).is_time else text for key, text in texts.items()}


def _instant(text: str, name: str, now: datetime) -> str:
    if text == "now":
        at = now
    else:
        try:
            at = now - timedelta(milliseconds=Duration.parse(text).ms)
        except ValueError:
            try:
                at = datetime.fromtimestamp(cells.epoch_ms(text, UTC) / 1000, UTC)
            except ValueError as error:
                raise typer.BadParameter(f'{error}; or how long ago: "90m", "24h"', param_hint=f"--{name}") from None
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _nothing(client: Client, texts: dict[str, str]) -> str:
    """Why there may be no rows: what was asked for, beside what there is."""
    ((first, last, readings),) = run_query(client, "SELECT min(time), max(time), count() FROM readings").rows
    there = f"readings are stored from {_shown(first)} to {_shown(last)}" if readings else "no readings are stored"
    return f"nothing from {texts['since']} to {texts['until']} (UTC); {there}: --since and --until choose"


def _list(queries: Sequence[NamedQuery]) -> None:
    console = wide_console()
    for one in queries:
        console.print(f"[bold]{one.name}[/]  {escape(one.question)}", soft_wrap=True)
        for parameter in one.parameters:
            default = "" if parameter.default is None else f" = {parameter.default or repr('')}"
            console.print(f"    {parameter.name}{default}  [dim]{escape(parameter.meaning)}[/]", soft_wrap=True)


def _print(columns: Sequence[str], result: Result, output: Format) -> None:
    if output is Format.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([_plain(value) for value in row] for row in result.rows)
    elif output is Format.json:
        for row in result.rows:
            plain = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
            print(json.dumps(plain, default=str, ensure_ascii=False))
    else:
        table = Table(*columns, header_style="bold")
        for row in result.rows:
            table.add_row(*(escape(_shown(value)) for value in row))
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
