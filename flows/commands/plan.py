"""`streamgauge plan`: how many cores, how much memory and disk a plant of some size needs."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, wide_console
from flows.plan import BUSY, Constants, Plan, Wanted, constants, predict


def plan(
    context: typer.Context,
    sensors: Annotated[int, typer.Option(help="How many there are.")],
    rate: Annotated[float, typer.Option(help="Readings a second, of all sensors together.")],
    retention: Annotated[
        str | None, typer.Option(help='How long readings are kept, "30d"; as configured when left out.')
    ] = None,
    replication: Annotated[int, typer.Option(help="Copies, in Kafka and in ClickHouse.")] = 1,
    groups: Annotated[int, typer.Option(help="Pairs of location and sensor type, by which windows are grouped.")] = 100,
    assets: Annotated[int, typer.Option(help="Machines or rooms whose sensors are judged together.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Predict cores, memory, recovery store, Kafka partitions and ClickHouse's rows, bytes and parts; say what is not
    known.

    **Examples**

    `streamgauge plan --sensors 10000 --rate 5000`

    `streamgauge plan --sensors 200000 --rate 20000 --retention 90d --replication 2 --json`
    """
    invocation: Invocation = context.obj
    settings, known = invocation.given, constants()
    kept_ms = settings.clickhouse.retention.readings.ms if retention is None else duration_ms(retention, "--retention")
    wanted = Wanted(sensors, rate, kept_ms / 1000, groups, assets, replication)
    try:
        found = predict(known, wanted, settings)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        measured = {"machine": known.machine, "date": known.date, "python": known.python}
        typer.echo(json.dumps({**asdict(found), "measured": measured}))
        return
    show(wide_console(), known, wanted, found)


def show(console: Console, known: Constants, wanted: Wanted, found: Plan) -> None:
    """For people."""
    console.print(
        f"{wanted.sensors:,} sensors, {wanted.rate:,.0f} readings/s; measured {known.date} on {known.machine}"
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, value in (
        ("worker processes", f"{found.processes} (`run --processes`), each at most {BUSY:.0%} busy"),
        ("cores they use", f"{found.cores:.2f}; catching up {found.full_speed:,.0f} readings/s with all of them"),
        ("memory", f"{found.memory_mb_each:,.0f} MB each, {found.memory_mb:,.0f} MB together"),
        ("recovery store", f"{found.store_mb:,.0f} MB, {found.store_mb_s:.1f} MB/s written"),
        ("Kafka", f"{found.partitions} partitions, {_size(found.kafka_bytes_a_day)} a day before compression"),
        ("ClickHouse", f"{found.clickhouse_cores:.2f} cores for inserts and merges"),
    ):
        table.add_row(name, value)
    console.print(table)
    rows = Table("table", header_style="bold", box=None, pad_edge=False)
    for heading in ("rows a day", "a day", "kept", "parts a minute"):
        rows.add_column(heading, justify="right")
    for name, one in found.tables.items():
        sizes = (_size(one.bytes_a_day), _size(one.bytes_kept))
        rows.add_row(name, f"{one.rows_a_day:,.0f}", *sizes, f"{one.parts_a_minute:,.1f}")
    kept = sum(one.bytes_kept for one in found.tables.values())
    a_day, parts = (
        sum(getattr(one, name) for one in found.tables.values()) for name in ("bytes_a_day", "parts_a_minute")
    )
    rows.add_row("together", "", _size(a_day), _size(kept), f"{parts:,.1f}", style="bold")
    console.print(rows)
    console.print("not known:")
    for line in found.not_known:
        console.print(f"- {line}", soft_wrap=True, markup=False)


def _size(nbytes: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if nbytes >= factor:
            return f"{nbytes / factor:,.1f} {unit}"
    return f"{nbytes / 1e3:,.1f} kB"
