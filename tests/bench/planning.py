"""What `streamgauge plan` goes by: one worker at several sizes of a plant, predicted beside measured."""

import json
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from clickhouse_connect.driver.client import Client
from rich.console import Console

from flows.plan import FILE, Constants, Measured, TableCost, Wanted, constants, predict
from flows.settings import Settings
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from operators.records import TABLES
from operators.state import pack
from tests.bench import report
from tests.bench.load import PARTITIONS, Load, new_topics
from tests.bench.measure import Input, measure_apart
from tests.bench.measure import Measured as Run
from tests.bench.recovery.figures import Figure, show
from tests.bench.recovery.packing import shards
from tests.bench.recovery.process import size_of

SIZES = (1_000, 10_000, 100_000)
_LEAST, _EACH, _MOST = 300_000, 120, 1_500_000
"""Readings: so many of each sensor, after which its detectors are warm, within bounds."""
_SELDOM_S = 30.0
"""Interval of the run that tells rows of windows from readings."""
_WARM = 20_000
_PACKED = 1_000
"""Sensors of the partition whose snapshot is weighed."""
_WRITTEN = 1.7
"""Bytes into the recovery store for a byte of state, by `make bench ARGS="--only recovery"`."""
_WITHIN = 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """What one size of a plant showed. window_rows: of a reading."""

    measured: Measured
    window_rows: float
    tables: dict[str, TableCost]


def run(
    *, console: Console, write: bool = False, sizes: Sequence[int] = SIZES, least: int = _LEAST, file: Path = FILE
) -> None:
    """Measure and print; write: keep what was measured, for `streamgauge plan`."""
    before = constants(file) if file.exists() else None
    found = []
    for sensors, interval_s in [*((size, 2.0) for size in sizes), (sizes[len(sizes) // 2], _SELDOM_S)]:
        console.print(f"plan: {sensors:,} sensors, each every {interval_s:g} s")
        messages = min(max(least, _EACH * sensors), _MOST)
        load = Load(messages=messages, sensors=sensors, interval_s=interval_s)
        found.append(_measure(load))
        console.print(str(found[-1].measured), highlight=False)
    *usual, seldom = found
    if before is not None:
        show("What plan says, and what was measured", _beside(before, usual), console)
    made = _constants(usual, seldom)
    console.print_json(msgspec.json.encode(made).decode())
    if write:
        file.write_text(json.dumps(msgspec.to_builtins(made), indent=1) + "\n")
        console.print(f"written to {file.name}")


def _beside(known: Constants, found: Sequence[Size]) -> Iterator[Figure]:
    for size in found:
        one = size.measured
        # At a rate that one process keeps up with.
        told = predict(known, Wanted(one.sensors, one.sensors / one.interval_s / 20, 86_400.0), Settings())
        for what, said, was in (
            ("readings/s of a worker, of its processor time", told.full_speed / told.processes, one.rate),
            ("memory of a worker that keeps up, MB", told.memory_mb_each, one.peak_mb),
        ):
            off = said / was - 1
            yield Figure(
                f"{one.sensors:,} sensors: {what}",
                f"{was:,.0f}, predicted {said:,.0f} ({off:+.0%})",
                f"within {_WITHIN:.0%}",
                abs(off) <= _WITHIN,
            )


def _constants(usual: Sequence[Size], seldom: Size) -> Constants:
    middle = usual[len(usual) // 2]
    more_rows = seldom.window_rows - middle.window_rows
    packed = sum(len(pack(shard.snapshot())[1]) for shard in shards(_PACKED * PARTITIONS))
    return Constants(
        machine=f"{os.cpu_count()} {platform.machine()} cores",
        load=round(os.getloadavg()[2], 1),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        python=platform.python_version(),
        measured=tuple(size.measured for size in usual),
        window_us=round(max(0.0, seldom.measured.cpu_us - middle.measured.cpu_us) / more_rows, 2),
        tables=usual[0].tables,  # with most readings of a sensor: while detectors warm up rows are smaller
        message_bytes=_message_bytes(),
        state_bytes=round(packed / _PACKED),
        written_for_a_byte=_WRITTEN,
    )


def _message_bytes() -> float:
    step = next(Load(messages=1_000, sensors=100).steps())
    return sum(len(key) + len(payload) for key, payload, _ in step) / len(step)


def _measure(load: Load) -> Size:
    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-plan-") as name,
        Broker(Path(name) / "broker") as broker,
        EmbeddedClickHouse(Path(name) / "clickhouse", log=Path(name) / "clickhouse.log") as clickhouse,
    ):
        connection = Connection(bootstrap=broker.bootstrap)
        load.produce(connection, {"warm": min(_WARM, load.messages), "whole": load.messages})

        def given(topic: str, messages: int) -> Input:
            return Input(broker.bootstrap, topic, messages, tempfile.mkdtemp(dir=name))

        def warm() -> Input:
            return given("warm", min(_WARM, load.messages))

        fast = measure_apart("detecting", warm(), given("whole", load.messages))
        with connect(Address(port=clickhouse.port, database="plan")) as client, _environment(clickhouse.port):
            migrate.init(client)
            cpu_s = _cpu_s(clickhouse.pid)
            fed = given("fed", load.messages)
            slow = _keeping_up(load, connection, warm(), fed)
            clickhouse_s = _cpu_s(clickhouse.pid) - cpu_s
            tables = _tables(client)
        return Size(
            Measured(
                sensors=load.sensors,
                interval_s=load.interval_s,
                readings=load.messages,
                rate=round(fast.readings / fast.cpu_s),  # other processes on the machine do not count
                cpu_us=round(slow.cpu_s / slow.readings * 1e6, 2),
                peak_mb=round(slow.peak_bytes / 1e6, 1),
                store_mb=round(size_of(Path(fed.store)) / 1e6, 1),
                clickhouse_us=round(clickhouse_s / load.messages * 1e6, 2),
            ),
            tables["windows"].rows_a_reading,
            tables,
        )


def _keeping_up(load: Load, connection: Connection, warm: Input, fed: Input) -> Run:
    """Messages are sent as the worker reads them."""
    new_topics(connection, fed.topic)
    with Producer(connection) as producer:
        steps, sent = load.steps(), 0

        def feed(read: int) -> None:
            nonlocal sent
            while sent < min(read + report.UNREAD, load.messages):
                step = next(steps)
                producer.produce_many(fed.topic, step)
                sent += len(step)
            producer.flush()

        feed(0)
        return measure_apart("storing", warm, fed, on_read=feed)


@contextmanager
def _environment(port: int) -> Iterator[None]:
    """Where ClickHouse is, for the processes that are started."""
    given = {"STREAMGAUGE_CLICKHOUSE__PORT": str(port), "STREAMGAUGE_CLICKHOUSE__DATABASE": "plan"}
    kept = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _tables(client: Client) -> dict[str, TableCost]:
    """Bytes of a row once it is merged, and rows of a reading."""
    found, readings = {}, 0
    for table in TABLES:  # of which readings are the first
        client.command(f"OPTIMIZE TABLE {table} FINAL")
        sql = "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"
        rows, nbytes = client.query(f"{sql} AND table = '{table}'").result_rows[0]
        readings = readings or rows
        if table not in ("sensors", "alert_actions"):  # people write these
            found[table] = TableCost(round(nbytes / rows, 1) if rows else 0.0, round(rows / readings, 7))
    return found


def _cpu_s(pid: int) -> float:
    """That a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
