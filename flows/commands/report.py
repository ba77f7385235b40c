"""`streamgauge report`: the console's pages in one file."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Invocation


def report(
    context: typer.Context,
    since: Annotated[str, typer.Option(help='Where it begins: a time, or how long ago ("24h").')] = "24h",
    until: Annotated[str, typer.Option(help="Where it ends, likewise.", show_default="now")] = "",
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("report.html"),
    location: Annotated[list[str] | None, typer.Option(help="Of these only; may be given several times.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Likewise.")] = None,
    sensor: Annotated[list[str] | None, typer.Option(help="Likewise.")] = None,
) -> None:
    """Write the console's pages, with charts and data, into one file that needs no server and no network.

    Times are RFC 3339 or how long ago. The page can be mailed, kept, printed.

    **Example**: `streamgauge report --since 24h --out report.html`
    """
    from flows.console import knowledge
    from flows.settings import SettingsError
    from infra.console.dataset import Ask
    from infra.console.reader import Reader
    from infra.console.report import report as made
    from infra.console.scope import read_scope
    from infra.http.answers import Problem
    from infra.simulate.runner import wall_clock_ms

    invocation: Invocation = context.obj
    now_ms = wall_clock_ms()
    chosen = {"location": location or [], "type": type_ or [], "sensor": sensor or []}
    try:
        scope = read_scope({"from": [_moment(since)], "to": [_moment(until)], **chosen}, now_ms=now_ms)
    except Problem as problem:
        raise typer.BadParameter(str(problem), param_hint="--since, --until") from None
    with invocation.clickhouse() as address:
        reader = Reader(address, at_a_time=1)
        try:
            ask = Ask(scope=scope, reader=reader, given={}, now_ms=now_ms, known=knowledge(invocation.settings))
            page = made(ask)
        finally:
            reader.close()
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--out {out}: {error.strerror}") from None
    typer.echo(f"{out}: {len(page.encode()) / 1e6:.1f} MB; open it in a browser")


def _moment(text: str) -> str:
    """As the console's pages say it: "24h" is "now-24h"."""
    return "now" if text in ("", "now") else f"now-{text}" if text[-1:] in "smhd" and text[:-1].isdigit() else text
