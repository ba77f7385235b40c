"""`streamgauge db`: the tables in ClickHouse."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.common import Invocation
from flows.production import retention
from infra.clickhouse import backup, forget, migrate, schema_check
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


@app.command("backup")
def back_up(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new directory for the copy.", show_default=False)],
) -> None:
    """Copy every table into Parquet files, with a manifest; a flow may go on meanwhile.

    **Example**: `streamgauge db backup /backups/2026-11-25`
    """
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address, connect(address) as client:
        copy = backup.write(client, folder, _say_copied)
    typer.echo(f"{sum(copy.files.values()):,} rows in {len(copy.files)} files")


@app.command("restore")
def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="What `db backup` wrote.", show_default=False)],
) -> None:
    """Put a copy back, after making tables that are missing; rows that are there already replace themselves.

    **Example**: `streamgauge db restore /backups/2026-11-25`
    """
    invocation: Invocation = context.obj
    backup.read_manifest(folder)
    with invocation.clickhouse() as address, connect(address) as client:
        migrate.init(client, retention=retention(invocation.settings), cluster=address.cluster)
        copy = backup.restore(client, folder, _say_copied)
    typer.echo(f"{sum(copy.files.values()):,} rows as they were at {copy.made_at}")


def _say_copied(name: str, rows: int) -> None:
    typer.echo(f"{name:32} {rows:>14,} rows")


@app.command("forget")
def forget_sensor(
    context: typer.Context,
    sensor: Annotated[str, typer.Argument(help="Its sensor_id.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """Delete what is stored about one sensor, from every table and for good; says first what that is, then asks.

    What several sensors made together stays: windows by location or type, verdicts and alerts on groups, without its
    name. The audit is told how many readings are gone. What Kafka, the recovery store, backups and logs hold is not
    reached.

    **Example**: `streamgauge db forget pump-7 --dry-run`
    """
    invocation: Invocation = context.obj
    console = Console(highlight=False)
    with invocation.clickhouse() as address, connect(address) as client:
        shares = forget.look(client, sensor)
        if not shares:
            typer.echo(f"nothing is stored of {sensor}", err=True)
            raise typer.Exit(1)
        for share in shares:
            what = "its name is taken out" if share.emptied else "deleted"
            console.print(f"{share.table:15} {share.rows:>12,} rows: {what}")
        if dry_run:
            console.print("nothing is deleted: this was --dry-run")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("nobody is there to be asked: add --yes to delete, or --dry-run to only look")
            typer.confirm(f"Delete this of {sensor} for good?", abort=True)
        forget.forget(client, sensor, cluster=address.cluster)
    console.print(
        "gone. Kafka holds its readings as long as the topic keeps them, and a rebuild reads them again; a running "
        f"flow knows it until quality.evict_after ({invocation.settings.quality.evict_after}) of silence; backups, "
        "logs and the registry file are yours",
        soft_wrap=True,
    )
