"""`streamgauge rebuild`: a past range computed once more."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, wide_console
from flows.rebuild import Rebuild, Request, Stopped, Told, moment
from flows.rehearsal import rehearse
from infra.clickhouse.rebuild import Change
from infra.signals import stop_on_signals
from infra.simulate import cells
from infra.simulate.mapping import ColumnMapping


class From(StrEnum):
    """Where the readings are taken from."""

    stored = "stored"
    kafka = "kafka"


def rebuild(
    context: typer.Context,
    since: Annotated[str, typer.Option("--from", help="Begin of the range: 2026-01-31T08:00:00Z, or epoch seconds.")],
    until: Annotated[str, typer.Option("--to", help="Its end (exclusive); the live flow must be past it.")],
    source: Annotated[
        From, typer.Option(help="The stored readings, or the topics once more, to their end.")
    ] = From.stored,
    warm_up: Annotated[
        str, typer.Option(help='Compute this much before the range, too ("6h"): quicker, but verdicts may differ.')
    ] = "all",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Drop what a killed rebuild has left.")] = False,
) -> None:
    """Compute a past range once more, as configured now, with all readings that came late; live flows go on.

    For a window that was added, late data, a corrected detector. Shows what will change, asks, then writes the rows
    that differ, with a higher generation. Written are readings' verdicts and asset verdicts in the range, windows and
    data-quality episodes that begin and end in it. `quality` stays, and so do rows that are no longer made, but for
    groups of a window that have no readings any more: their count becomes 0.

    **Examples**

    `streamgauge rebuild --from 2026-01-30T00:00:00Z --to 2026-01-31T00:00:00Z --dry-run`

    `streamgauge rebuild --from 2026-01-30T00:00:00Z --to 2026-01-31T00:00:00Z --source kafka`
    """
    invocation: Invocation = context.obj
    request = Request(
        from_ms=_time_ms(since, "--from"),
        to_ms=_time_ms(until, "--to"),
        warm_up_ms=None if warm_up == "all" else duration_ms(warm_up, "--warm-up"),
        source=source.value,
    )
    stop, settings = stop_on_signals(), invocation.settings
    console = wide_console()
    with invocation.clickhouse() as address, _progress() as told:
        rehearse(settings)
        job = Rebuild(settings, request, address=address, stop=stop, told=told)
        writing = False
        try:
            with job.open(discard=discard):
                readings = job.compute()
                changes = job.changes()
                told("", 0, 0)
                _show(console, changes, readings)
                if dry_run or not sum(change.written for change in changes):
                    return
                _ask(yes=yes, request=request)
                writing = True
                generation = job.publish()
        except Stopped:
            done = "part of it is written: rebuild again for the rest" if writing else "nothing is written"
            typer.echo(f"stopped; {done}", err=True)
            raise typer.Exit(130) from None
    console.print(f"{sum(change.written for change in changes):,} rows written as generation {generation}")


def _time_ms(text: str, option: str) -> int:
    try:
        return cells.epoch_ms(text, ColumnMapping().tzinfo())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _ask(*, yes: bool, request: Request) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: add --yes to write, or --dry-run to only look")
    typer.confirm(f"Write this for {moment(request.from_ms)} to {moment(request.to_ms)}?", abort=True)


def _show(console: Console, changes: list[Change], readings: int) -> None:
    console.print(f"{readings:,} readings computed, with those of the warm-up")
    table = Table("table", header_style="bold", box=None, pad_edge=False)
    for heading in ("as stored", "differ", "new", "emptied", "no longer made"):
        table.add_column(heading, justify="right")
    table.add_column("largest change")
    for one in changes:
        name = f"{one.table} {escape(one.window)}" if one.window else one.table
        counts = (one.same, one.differs, one.new, one.emptied, one.gone - one.emptied)
        table.add_row(name, *(f"{count:,}" if count else "-" for count in counts), _largest(one))
    console.print(table)


def _largest(one: Change) -> str:
    if one.table == "readings":
        return f"{one.flips:,} verdicts turn" if one.flips else ""
    return f"count by {one.count:,}, mean by {one.mean:.6g}" if one.window and one.differs + one.emptied else ""


@contextmanager
def _progress() -> Iterator[Told]:
    """Progress on a terminal only; yields what to tell of it. Told of nothing it disappears."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def told(what: str, done: int, total: int) -> None:
            shown = f"{done:,} {what}" if what.startswith(("readings c", "messages")) else what
            progress.update(task, description=shown, completed=done, total=total or None, visible=bool(what))

        yield told
