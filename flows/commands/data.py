"""`streamgauge simulate` and `streamgauge replay`: readings into Kafka."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, wide_console
from flows.places import connection
from flows.sending import destination, first_topic
from infra.kafka.producer import Producer
from infra.kafka.schemas_produce import Format
from infra.signals import stop_on_signals
from infra.simulate.mapping import ColumnMapping
from infra.simulate.replay import FileSummary, Replay
from infra.simulate.replay import replay as send
from infra.simulate.runner import history, live, wall_clock_ms
from infra.simulate.simulation import Simulation


class Form(StrEnum):
    """What payloads are sent as."""

    json = "json"
    avro = "avro"
    protobuf = "protobuf"
    json_schema = "json-schema"


_FORMATS: dict[Form, Format | None] = {
    Form.json: None,
    Form.avro: "avro",
    Form.protobuf: "protobuf",
    Form.json_schema: "json-schema",
}


def simulate(
    context: typer.Context,
    seconds: Annotated[float | None, typer.Option(min=0, help="Live for so long; without it until Ctrl-C.")] = None,
    past: Annotated[str, typer.Option("--history", help='Send this much past first, at full speed: "1h".')] = "0s",
    rate: Annotated[float | None, typer.Option(help="Readings a second of all sensors.")] = None,
    sensors: Annotated[int | None, typer.Option(min=1, help="How many sensors.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same readings.")] = None,
    location: Annotated[str, typer.Option(help="All in one place of this name.", show_default="several")] = "",
    to: Annotated[
        str,
        typer.Option(help='"mqtt", "http" as configured, or a URL of either.', show_default="Kafka"),
    ] = "",
    key_file: Annotated[Path | None, typer.Option(help="Holds the API key, for HTTP.", show_default="none")] = None,
    form: Annotated[
        Form, typer.Option("--format", help="With a schema in the registry of [schemas], for Kafka.")
    ] = Form.json,
) -> None:
    """Send simulated sensors to the first topic: daily cycles, drift, noise, and faults with their ground truth.

    Types, faults and shares are configured under `[simulate]`. Over MQTT each sensor publishes on its own topic, as
    `mqtt.template` says; over HTTP they are sent as a gateway would.

    **Examples**

    `streamgauge simulate --history 1h --seconds 60 --rate 1000 --sensors 200`

    `streamgauge simulate --to mqtt --location lab --sensors 5 --seconds 60`

    `streamgauge simulate --to http://127.0.0.1:8080 --seconds 60`

    `STREAMGAUGE_SCHEMAS__URL=http://127.0.0.1:8081 streamgauge simulate --format avro --seconds 60`
    """
    invocation: Invocation = context.obj
    settings = invocation.settings
    given = {"rate": rate, "sensors": sensors, "seed": seed, "locations": (location,) if location else None}
    config = msgspec.structs.replace(settings.simulate, **{k: v for k, v in given.items() if v is not None})
    config.check()
    past_ms = duration_ms(past, "--history")
    stop = stop_on_signals()
    simulation, now_ms = Simulation(config), wall_clock_ms()
    with destination(settings, to, key_file, _FORMATS[form]) as (producer, topic), _spinner(_reached) as told:
        sent = 0
        if past_ms:
            begin_ms = now_ms - past_ms
            sent += history(
                simulation, producer, topic=topic, from_ms=begin_ms, to_ms=now_ms, stop=stop, on_progress=told
            )
        until_ms = None if seconds is None else wall_clock_ms() + round(seconds * 1000)
        if seconds != 0 and not stop.is_set():
            sent += live(
                simulation, producer, topic=topic, from_ms=now_ms, until_ms=until_ms, stop=stop, on_progress=told
            )
    typer.echo(f"{sent:,} messages to {topic}")


class Shift(StrEnum):
    """Where replayed times go."""

    original = "original"
    now = "now"


def replay(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet, each also .gz.")],
    time_column: Annotated[str, typer.Option(help="Column of event times.", show_default="the first with times")] = "",
    value_column: Annotated[
        list[str] | None, typer.Option(help="A sensor each; may be repeated.", show_default="all columns of numbers")
    ] = None,
    sensor_id: Annotated[str, typer.Option(help='A text, or "@COLUMN".', show_default="file name (and column)")] = "",
    sensor_type: Annotated[str, typer.Option(help='A text, or "@COLUMN".', show_default="column or file name")] = "",
    location: Annotated[str, typer.Option(help='A text, or "@COLUMN".', show_default="folder name")] = "",
    asset_id: Annotated[str, typer.Option(help='A text, or "@COLUMN".')] = "",
    unit: Annotated[str, typer.Option(help='A text, or "@COLUMN".')] = "",
    label_column: Annotated[str, typer.Option(help="Ground truth.", show_default="label, anomaly, is_anomaly")] = "",
    zone: Annotated[str, typer.Option(help="Time zone of times that name none.")] = "UTC",
    shift: Annotated[Shift, typer.Option(help="now: the last row happens now.")] = Shift.original,
    speed: Annotated[float, typer.Option(min=0, help="1: real time; 60: an hour a minute; 0: at once.")] = 0,
) -> None:
    """Send files to the first topic, merged by event time.

    **Examples**

    `streamgauge replay data/*.csv.gz`

    `streamgauge replay pump.parquet --time-column ts --value-column pressure --location hall-2 --shift now`
    """
    invocation: Invocation = context.obj
    settings = invocation.settings
    stop = stop_on_signals()
    mapping = ColumnMapping(
        time_column=time_column,
        value_columns=tuple(value_column or ()),
        sensor_id=sensor_id,
        sensor_type=sensor_type,
        location=location,
        asset_id=asset_id,
        unit=unit,
        label_column=label_column,
        zone=zone,
    )
    found = Replay(files, mapping=mapping, end_ms=wall_clock_ms() if shift is Shift.now else None)
    topic = first_topic(settings)
    with Producer(connection(settings)) as producer, _spinner(lambda sent: f"{sent:,} readings sent") as told:
        send(found, producer, topic=topic, speed=speed, stop=stop, on_progress=told)
    _say_files(found.files)
    if any(file.refused for file in found.files):
        raise typer.Exit(1)


def _reached(time_ms: int) -> str:
    return f"sent up to {datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@contextmanager
def _spinner(describe: Callable[[int], str]) -> Iterator[Callable[[int], None]]:
    """Progress of work without a known end, on a terminal only; yields what to call with the figure to describe."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting")
        yield lambda figure: progress.update(task, description=describe(figure))


def _say_files(files: list[FileSummary]) -> None:
    table = Table("file", "rows", "readings", "empty", "refused", "from", "to", header_style="bold", box=None)
    for file in files:
        span = [
            "-" if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"
            for at in (file.first_ms, file.last_ms)
        ]
        counts = (f"{count:,}" for count in (file.rows, file.readings, file.empty, file.refused))
        table.add_row(file.path.name, *counts, *span)
    console = wide_console()
    console.print(table)
    for file in files:
        for problem in file.problems:
            console.print(f"[yellow]{file.path}:{problem.line}[/] {problem.reason}", soft_wrap=True)
        if file.refused > len(file.problems):
            console.print(f"[yellow]{file.path}[/] and {file.refused - len(file.problems):,} more")
