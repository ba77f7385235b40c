"""`streamgauge demo` and `streamgauge up`: everything on this machine, nothing to install."""

import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.commands.audit import look, told
from flows.commands.common import Invocation, duration_ms
from flows.demo import Course, Demo
from flows.local import local_services
from flows.places import clickhouse_address
from flows.production import prepare
from flows.settings import Settings
from flows.story import Pulse, Rightness, Summary
from infra.clickhouse.audit import Finding
from infra.clickhouse.client import connect
from infra.embedded.supervisor import Supervisor

_LINE_EVERY_S = 5.0
_DRAINED = -60
"""The worker has ended, and so has counted everything."""


def demo(
    context: typer.Context,
    seconds: Annotated[float | None, typer.Option(min=1, help="Live for so long; without it until Ctrl-C.")] = None,
    past: Annotated[str, typer.Option("--history", help='Past to begin with, at full speed: "1h", "10m".')] = "1h",
    rate: Annotated[float | None, typer.Option(help="Readings a second of all sensors.", show_default="100")] = None,
    sensors: Annotated[int | None, typer.Option(min=1, help="How many sensors.", show_default="35")] = None,
    seed: Annotated[int | None, typer.Option(help="Other readings and faults.", show_default="1")] = None,
) -> None:
    """Live sensors, windows and detectors on this machine, with an hour of history, on pages to look at.

    Starts embedded Kafka and MQTT brokers and ClickHouse, one worker, the console and a simulator; about 5 % of the
    readings are faulty, and some messages are broken, late or sent twice. What was stored is kept in `.streamgauge`.

    **Examples**

    `streamgauge demo`

    `streamgauge demo --seconds 60 --rate 1000 --sensors 200`
    """
    invocation: Invocation = context.obj
    past_ms = duration_ms(past, "--history")
    given = _simulating(invocation.given, rate=rate, sensors=sensors, seed=seed)
    console = Console(highlight=False)
    counted = None
    with Supervisor() as supervisor, local_services(given, supervisor) as settings:
        prepare(settings)
        _say_where(console, settings)
        _say_how_to_publish(console, settings)
        if url := _console_url(settings):
            console.print(f"  [bold]console     {url}[/]  (in a few seconds)")
        with closing(Demo(settings, supervisor)) as the_demo:
            with _progress(console) as progress:
                _history(the_demo, past_ms, invocation.config, progress)
            if not supervisor.stop.is_set():
                _live(console, the_demo, seconds)
            with console.status("letting the flow finish"):
                counted = the_demo.finish()
                with connect(clickhouse_address(settings)) as client:
                    found = look(client, settings, fresh_s=_DRAINED)
    if counted is None:  # stopped before anything ran
        return
    summary, comparison = counted
    _say_summary(console, summary, the_demo.course, found.findings)
    _say_comparison(console, comparison)
    _say_what_to_ask(console)
    if found.findings:
        raise typer.Exit(1)


def up(context: typer.Context) -> None:
    """Run only the embedded brokers and ClickHouse, with topic and tables, until Ctrl-C.

    For `replay`, `simulate`, `ingest`, `run sensors` and `query` in other terminals, which find them by themselves.

    **Example**: `streamgauge up`
    """
    invocation: Invocation = context.obj
    console = Console(highlight=False)
    with Supervisor() as supervisor, local_services(invocation.given, supervisor) as settings:
        for line in prepare(settings):
            console.print(line)
        _say_where(console, settings)
        console.print("Ctrl-C stops them; the data is kept.")
        supervisor.watch()


def _simulating(settings: Settings, *, rate: float | None, sensors: int | None, seed: int | None) -> Settings:
    """The settings with what was asked for on the command line, and some trouble for the flow to handle."""
    given = {"rate": rate, "sensors": sensors, "seed": seed}
    simulate = msgspec.structs.replace(settings.simulate, **{k: v for k, v in given.items() if v is not None})
    if simulate.bad_share == 0 and simulate.disorder == 0:
        simulate = msgspec.structs.replace(simulate, bad_share=0.0005, disorder=0.005)
    simulate.check()
    return msgspec.structs.replace(settings, simulate=simulate)


def _say_where(console: Console, settings: Settings) -> None:
    console.print(f"  broker      {settings.kafka.bootstrap}  topic {', '.join(settings.kafka.topics)}")
    console.print(f"  ClickHouse  http://{settings.clickhouse.host}:{settings.clickhouse.port}/")
    console.print(f"  MQTT        {settings.mqtt.url}  topic {settings.mqtt.template}")
    console.print(f"  data        {settings.data_dir}/  (logs in logs/)")


def _console_url(settings: Settings) -> str:
    """Where the pages are; "" where their packages are not installed."""
    scheme = "https" if settings.console.cert_file else "http"
    return "" if find_spec("fastapi") is None else f"{scheme}://{settings.console.listen}/"


def _say_how_to_publish(console: Console, settings: Settings) -> None:
    console.print("  sensors over MQTT, in another terminal:")
    console.print(
        "  streamgauge simulate --to mqtt --location mqtt --sensors 5 --seconds 30", style="cyan", soft_wrap=True
    )
    console.print("  alerts as they come, with the state of each sensor before:")
    console.print(f"  amqtt_sub --url {settings.mqtt.url} -t 'alerts/#'", style="cyan", soft_wrap=True, markup=False)
    if find_spec("fastapi") is None:
        return
    url = f"http://{settings.http.listen}"
    console.print(f"  a reading over HTTP, and what became of it (more at {url}/docs):")
    told = r"""{\"sensor_id\": \"my-sensor\", \"value\": 21.5, \"timestamp\": $(date +%s)000}"""
    console.print(
        f"""  curl -H 'Content-Type: application/json' --data "{told}" {url}/readings""",
        style="cyan",
        soft_wrap=True,
        markup=False,
    )
    console.print(
        f"  curl '{url}/api/readings?sensor=my-sensor&format=csv'", style="cyan", soft_wrap=True, markup=False
    )


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("  {task.description:20}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


def _history(the_demo: Demo, past_ms: int, config: Path | None, progress: Progress) -> None:
    sending = progress.add_task("history: sending", total=1.0, told="")
    the_demo.send_history(past_ms, config, lambda share: progress.update(sending, completed=share))
    total = the_demo.course.history_messages
    progress.update(sending, completed=1.0, told=f"{total:,} readings")
    reading = progress.add_task("history: processing", total=max(1, total), told="")
    the_demo.catch_up(
        lambda lag: progress.update(reading, completed=max(0, total - lag), told=f"{lag:,} to go" if lag else "done")
    )


def _live(console: Console, the_demo: Demo, seconds: float | None) -> None:
    console.print("  live now; Ctrl-C ends with a summary" if seconds is None else f"  live for {seconds:g} s")
    if url := _console_url(the_demo.settings):
        console.print(f"  look at     [bold]{url}[/]")
    began_s = time.monotonic()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as screen:
            the_demo.live(seconds, lambda pulse: screen.update(_screen(pulse, time.monotonic() - began_s)))
        return
    said_s = began_s

    def say(pulse: Pulse) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= _LINE_EVERY_S:
            said_s = time.monotonic()
            console.print(
                f"  {said_s - began_s:4.0f} s  {pulse.readings / 10:,.0f} readings/s  {pulse.windows:,} windows  "
                f"{pulse.anomalies} anomalies in 10 s"
            )

    the_demo.live(seconds, say)


def _screen(pulse: Pulse, elapsed_s: float) -> RenderableType:
    figures = Table.grid(padding=(0, 2))
    figures.add_row("  elapsed", f"{elapsed_s:.0f} s")
    figures.add_row("  readings/s", f"{pulse.readings / 10:,.0f}")
    figures.add_row("  windows closed", f"{pulse.windows:,}")
    figures.add_row("  anomalies in 10 s", f"{pulse.anomalies:,}")
    figures.add_row("  open alerts", f"{pulse.open_alerts:,}")
    alarms = Table("sensor", "value", "flagged by", header_style="bold", box=None, padding=(0, 2))
    for sensor, value, detectors in pulse.alarms:
        alarms.add_row(sensor, value, f"[red]{detectors}[/]")
    return Group(figures, "", alarms)


def _say_summary(console: Console, summary: Summary, course: Course, wrong: list[Finding]) -> None:
    rows = [
        ("readings in", summary.readings),
        ("= on time", summary.on_time),
        ("+ late", summary.late),
        ("+ duplicates", summary.duplicates),
        ("+ rejected", summary.rejected),
        ("windows closed", summary.windows),
        ("flagged as anomalies", summary.flagged),
        ("faulty, as simulated", summary.faulty),
        ("alerts", summary.alerts),
        ("  still open", summary.open_alerts),
    ]
    table = Table.grid(padding=(0, 2))
    for name, count in rows:
        table.add_row(f"  {name}", f"{count:>12,}")
    console.print("[bold]summary of all that is stored[/]")
    console.print(table)
    if course.history_s:
        rate = course.history_messages / course.history_s
        console.print(f"  history   {course.history_messages:,} messages in {course.history_s:.1f} s: {rate:,.0f}/s")
    if course.live_s:
        rate = course.live_messages / course.live_s
        console.print(f"  live      {course.live_messages:,} messages in {course.live_s:.0f} s: {rate:,.0f}/s")
    if course.freshness is not None:
        middle, high = course.freshness
        console.print(f"  latency   newest stored reading {middle:.2f} s old (median), {high:.2f} s (p95)")
    for finding in wrong:
        console.print(f"  [bold red]the sums do not agree:[/] {told(finding)}")
    if not wrong:
        console.print("  [green]the sums agree: every reading is accounted for[/]")


def _say_comparison(console: Console, comparison: list[Rightness]) -> None:
    console.print("[bold]verdicts beside the simulated truth, reading by reading[/]")
    table = Table(
        "", "flagged", "agreement", "precision", "recall", "F1", header_style="bold", box=None, padding=(0, 2)
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for one in comparison:
        shares = ["-" if share is None else f"{share:.1%}" for share in (one.agreement, one.precision, one.recall)]
        f1 = "-" if one.f1 is None else f"{one.f1:.3f}"
        style = "bold" if one.name.startswith("= ") else ""
        table.add_row(one.name, f"{one.flagged:,}", *shares, f1, style=style)
    console.print(table)
    console.print("  agreement: share of readings on which it says what the verdict says", style="dim")


def _say_what_to_ask(console: Console) -> None:
    console.print("Ask what was stored, for example:")
    console.print("  streamgauge alerts list --all", style="cyan", soft_wrap=True)
    console.print(
        '  streamgauge query "SELECT * FROM windows_final ORDER BY start DESC LIMIT 5"', style="cyan", soft_wrap=True
    )
    console.print(
        '  streamgauge query "SELECT detector, countIf(flagged) FROM predictions GROUP BY detector"',
        style="cyan",
        soft_wrap=True,
    )
