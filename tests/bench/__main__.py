"""`make bench`: how fast a worker is beside its floor, what detection and recovery cost, edges, dashboard queries."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from flows.commands.common import wide_console
from flows.settings import Settings
from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from tests.bench import console as pages
from tests.bench import detection, edge, formats, http, mqtt, notification, planning, report
from tests.bench.load import Load, new_topics
from tests.bench.measure import Input, Measured, measure_apart
from tests.bench.recovery import __main__ as recovery
from tests.dashboards import __main__ as dashboards

PARTS = ("detection", "recovery", "edges", "notification", "edge", "formats", "queries", "console", "plan", "worker")
_WARM = 20_000
_MQTT_MESSAGES = 50_000
_HTTP_REQUESTS = {"ndjson": 2_000, "single": 30_000}
_SPIKES, _SPIKES_BESIDE = 100, 5_000
"""Spikes whose notifications are waited for, and readings a second of other sensors meanwhile."""
_EDGE_S, _EDGE_PAST_S = 30.0, 300
_STORED = 5_000_000
"""Readings that the queries of dashboards and the console are asked over."""
_SHARE = {"fold_window": 20}
"""Jobs that are given only one in so many messages."""


def run(load: Load, *, repeat: int, console: Console) -> bool:
    """Measure and print; False when the engine's windows do not hold what was produced."""
    amounts = {
        job: max(1, load.messages // _SHARE.get(job, 1)) for job in report.TITLES if job not in report.KEEPING_UP
    }
    topics = {"warm": min(_WARM, load.messages), **{f"of-{amount}": amount for amount in amounts.values()}}
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name, Broker(Path(name) / "broker") as broker:
        connection = Connection(bootstrap=broker.bootstrap)
        console.print(f"producing {load.messages:,} messages")
        load.produce(connection, topics)

        def given(topic: str, messages: int) -> Input:
            return Input(broker.bootstrap, topic, messages, tempfile.mkdtemp(dir=name))

        # Interleaved, so that a noisy minute hits all alike.
        runs: dict[str, list[Measured]] = {job: [] for job in report.TITLES}
        for number in range(repeat):
            for job, amount in amounts.items():
                console.print(f"run {number + 1} of {repeat}: {report.TITLES[job]}")
                warm = given("warm", topics["warm"])
                runs[job].append(measure_apart(job, warm, given(f"of-{amount}", amount)))
        for job in report.KEEPING_UP:
            console.print(report.TITLES[job])
            runs[job] = [_keeping_up(job, load, connection, given)]
    report.show(load, runs, console)
    exact = ("engine", "detecting", *report.KEEPING_UP)
    wrong = [one for job in exact for one in runs[job] if not _right(one, load.messages)]
    for one in wrong:
        console.print(f"[red]wrong: {one}[/]")
    return not wrong


def _right(measured: Measured, messages: int) -> bool:
    return (measured.readings, measured.counted_share) == (messages, 1.0)


def _keeping_up(job: str, load: Load, connection: Connection, given: Callable[[str, int], Input]) -> Measured:
    """The memory of a worker that keeps up: messages are sent as it reads them."""
    topic = f"fed-{job}"
    new_topics(connection, topic)
    with Producer(connection) as producer:
        steps, sent = load.steps(), 0

        def feed(read: int) -> None:
            nonlocal sent
            while sent < min(read + report.UNREAD, load.messages):
                step = next(steps)
                producer.produce_many(topic, step)
                sent += len(step)
            producer.flush()

        feed(0)
        return measure_apart(job, None, given(topic, load.messages), on_read=feed)


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 when a result was wrong; missed targets are only said."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_500_000, help="readings to run through the engine")
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement; the median counts")
    parser.add_argument("--only", choices=PARTS, help="only this part; all when left out")
    parser.add_argument("--write", action="store_true", help="keep what the part plan measures, for `streamgauge plan`")
    options = parser.parse_args(arguments)
    load, console = Load(messages=options.messages, sensors=options.sensors), wide_console()
    parts = (options.only,) if options.only else PARTS
    if "detection" in parts:
        detection.run(Settings(), repeat=options.repeat, console=console)
    if "recovery" in parts:
        recovery.run(sensors=options.sensors, console=console)
    if "edges" in parts:
        mqtt.run(messages=_MQTT_MESSAGES, repeat=options.repeat, console=console)
        http.run(requests=_HTTP_REQUESTS, repeat=options.repeat, console=console)
    if "notification" in parts:
        notification.run(spikes=_SPIKES, rate=_SPIKES_BESIDE, console=console)
    if "edge" in parts:
        edge.run(seconds=_EDGE_S, past_s=_EDGE_PAST_S, console=console)
    if "formats" in parts:
        formats.run(readings=formats.READINGS, repeat=options.repeat, console=console)
    if "queries" in parts:
        dashboards.run(readings=_STORED, most=5, console=console)
    if "console" in parts:
        pages.run(readings=_STORED, repeat=options.repeat, console=console)
    if "plan" in parts:
        planning.run(write=options.write, console=console)
    sys.exit("worker" in parts and not run(load, repeat=options.repeat, console=console))


if __name__ == "__main__":
    main()
