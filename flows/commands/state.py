"""`streamgauge state`: the recovery store, from which a flow goes on after it was stopped or killed."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, wide_console
from flows.places import connection
from flows.recovery import Layout
from flows.store import copies
from flows.store.status import Status, read_status
from infra.kafka.admin import group_lag
from infra.kafka.client import KafkaFailure
from infra.kafka.start import Start

app = typer.Typer(
    help="What a flow goes on from: the recovery store.\n\n**Example**: `streamgauge state status`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("status")
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What is in the store, how far it has come, and what is still to be read; also while a flow uses it.

    **Example**: `streamgauge state status`
    """
    invocation: Invocation = context.obj
    found = read_status(_directory(invocation))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    _show(found, _ends(invocation, found))


@app.command("reset")
def reset(
    context: typer.Context,
    start: Annotated[str, typer.Option("--from", help="`earliest`, `latest`, or a time such as 2026-11-25T10:00:00Z.")],
    flow: Annotated[str, typer.Option(help="The flow that is to begin anew.")] = "sensors",
    yes: Yes = False,
) -> None:
    """Begin anew: the store is set aside, not deleted, and the next run reads from here.

    What is read again is stored again under the same identities: nothing is doubled. Only from `earliest`, while Kafka
    still holds everything, do the verdicts come out as they were.

    **Example**: `streamgauge state reset --from earliest`
    """
    invocation: Invocation = context.obj
    Start.parse(start)  # a mistake is told before anything is moved
    directory = _directory(invocation)
    _ask(f"set the recovery store in {directory} aside and begin at {start}?", yes)
    _say_aside(copies.reset(directory, Layout.of(flow, invocation.settings), start))
    typer.echo(f"the next run begins at {start}")


@app.command("migrate")
def migrate(context: typer.Context) -> None:
    """Take the states of an earlier release to what this one reads; a copy of the store as it was is kept.

    **Example**: `streamgauge state migrate`
    """
    done = copies.migrate(_directory(context.obj), version("streamgauge"))
    if done is None:
        typer.echo("nothing to migrate: the states are of this release")
        return
    older, changed, before = done
    typer.echo(f"{changed} states changed ({', '.join(older)}); as they were they are kept in {before}")


@app.command("backup")
def backup(context: typer.Context, target: Annotated[Path, typer.Argument(help="An empty or new directory.")]) -> None:
    """Copy the store as it was at one epoch, also while a flow runs.

    **Example**: `streamgauge state backup /var/backups/streamgauge`
    """
    epoch = copies.back_up(_directory(context.obj), target)
    typer.echo(f"backup in {target}: goes on at epoch {epoch}")


@app.command("restore")
def restore(
    context: typer.Context, source: Annotated[Path, typer.Argument(help="What `backup` has written.")], yes: Yes = False
) -> None:
    """Put a backup in the store's place; the flow then reads again what came since, and stores it under the same names.

    **Example**: `streamgauge state restore /var/backups/streamgauge`
    """
    directory = _directory(context.obj)
    _ask(f"put {source} in the place of the recovery store in {directory}?", yes)
    _say_aside(copies.restore(directory, source))
    typer.echo(f"restored from {source}")


def _directory(invocation: Invocation) -> Path:
    return Path(invocation.settings.worker.recovery_dir)


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is nobody to ask here: add --yes")
    typer.confirm(question, abort=True)


def _say_aside(aside: Path | None) -> None:
    if aside is not None:
        typer.echo(f"the store that was there is in {aside}")


def _ends(invocation: Invocation, found: Status) -> dict[str, int]:
    """The end of each partition the store knows; without Kafka none."""
    topics = sorted({place.rpartition("/")[0] for place in found.positions})
    if not topics:
        return {}
    try:
        lags = group_lag(connection(invocation.settings), invocation.settings.kafka.group, topics)
        return {f"{one.topic}/{one.partition}": one.high for one in lags}
    except KafkaFailure as error:
        typer.echo(f"what is still to be read is not known: {error}", err=True)
        return {}


def _show(found: Status, ends: dict[str, int]) -> None:
    console, layout = wide_console(), found.layout
    use = f"in use by process {found.in_use_by}" if found.in_use_by else "not in use"
    console.print(
        f"{escape(found.directory)}: {found.file_bytes / 1e6:.1f} MB in {layout.store_partitions} files, {use}"
    )
    console.print(
        f"flow {layout.flow}, {layout.shards_per_partition} shards a partition; made {layout.created_at or 'earlier'} "
        f"by streamgauge {layout.release or 'before 0.2'}; {found.executions} starts"
    )
    if found.epoch is None:
        console.print("no epoch is complete yet" + (f"; begins at {layout.start}" if layout.start else ""))
        return
    when = f"{found.completed_at:%Y-%m-%d %H:%M:%S} UTC" if found.completed_at else "unknown"
    console.print(f"epoch {found.epoch} is complete, written {when}")
    steps = Table("step", "keys", "bytes")
    for one in found.steps:
        steps.add_row(one.step, f"{one.keys:,}", f"{one.bytes:,}")
    console.print(steps)
    if sensors := sum(found.sensors.values()):
        console.print(f"{sensors:,} sensors, {found.sensor_bytes / sensors:,.0f} bytes each")
    for topic, moved in found.moved.items():
        console.print(f"{moved} sensors of {escape(topic)} are known in several partitions")
    places = Table("partition", "goes on at", "still to be read")
    for place, position in found.positions.items():
        places.add_row(place, f"{position:,}", f"{max(0, ends[place] - position):,}" if place in ends else "?")
    console.print(places)
