"""`streamgauge db`: the tables in ClickHouse."""

import typer
from rich.console import Console

from flows.commands.common import Invocation
from flows.production import retention
from infra.clickhouse import migrate, schema_check
from infra.clickhouse.client import connect

app = typer.Typer(
    help="The tables in ClickHouse.\n\n**Example**: `streamgauge db init`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

_MARKS = {
    "applied": "[green]applied[/]",
    "pending": "[yellow]pending[/] run `streamgauge db init`",
    "edited": "[red]edited[/]  differs from what was applied; put the file back",
    "newer": "[yellow]newer[/]   applied by a later release than this one",
}


@app.command("init")
def init(context: typer.Context) -> None:
    """Create the database and its tables, apply pending migrations, set retention. Safe to repeat.

    **Example**: `streamgauge db init`
    """
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address:
        done = migrate.init(connect(address), retention=retention(invocation.settings), cluster=address.cluster)
    for line in done or ["everything is up to date"]:
        typer.echo(line)


@app.command("status")
def status(context: typer.Context) -> None:
    """Which migrations are applied, and whether the live tables are what this release writes.

    **Example**: `streamgauge db status`
    """
    invocation: Invocation = context.obj
    console = Console(highlight=False)
    with invocation.clickhouse() as address:
        client = connect(address)
        states = migrate.status(client)
        for state in states:
            console.print(f"{state.name:32} {_MARKS[state.state]}")
        if any(state.state == "pending" for state in states):
            raise typer.Exit(1)
        schema_check.check(client)
    console.print("the tables fit this release")
