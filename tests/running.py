"""Flows under test as they run in production: worker processes between a real broker and a real ClickHouse."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer as RawProducer

from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Message, Simulation
from operators.records import TABLES
from tests.kafka import eventually, new_topic

BEGIN_MS = 1_767_225_600_000
"""First event time of simulated streams: 2026-01-01T00:00:00Z."""

Row = dict[str, Any]
MakeSite = Callable[[str], "Site"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where one flow runs. home: takes configuration, logs and recovery store."""

    home: Path
    bootstrap: str
    topic: str
    clickhouse_port: int
    database: str

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a quick worker: an epoch a second, and few rows in each."""
        return {
            "STREAMGAUGE_DATA_DIR": str(self.home),
            "STREAMGAUGE_KAFKA__BOOTSTRAP": self.bootstrap,
            "STREAMGAUGE_KAFKA__TOPICS": f'["{self.topic}"]',
            "STREAMGAUGE_KAFKA__GROUP": self.database,
            "STREAMGAUGE_CLICKHOUSE__PORT": str(self.clickhouse_port),
            "STREAMGAUGE_CLICKHOUSE__DATABASE": self.database,
            "STREAMGAUGE_WORKER__EPOCH": "1s",
            "STREAMGAUGE_WORKER__RECOVERY_DIR": str(self.home / "recovery"),
        }

    @property
    def whole_environment(self) -> dict[str, str]:
        """For commands started by other means than `worker`."""
        return os.environ | self.environment

    @property
    def log(self) -> str:
        """What all workers have said so far."""
        file = self.home / "worker.log"
        return file.read_text() if file.exists() else ""

    @property
    def complaints(self) -> list[str]:
        """Those lines that tell of trouble; that the processes of a cluster look for each other is none."""
        harmless = (" INFO ", "error connecting to worker")
        return [line for line in self.log.splitlines() if not any(text in line for text in harmless)]

    def worker(self, *arguments: str, flow: str = "sensors", **settings: str) -> ChildProcess:
        """`streamgauge run FLOW ...`, not started yet. settings: more of the environment, without its prefix."""
        self.home.mkdir(exist_ok=True)
        empty = self.home / "empty.toml"
        empty.touch()
        given = {f"STREAMGAUGE_{name}": text for name, text in settings.items()}
        return ChildProcess(
            "worker",
            [sys.executable, "-m", "flows.cli", "--config", str(empty), "run", flow, *arguments],
            log=self.home / "worker.log",
            env=self.environment | given,
            stop_timeout_s=30,
        )

    def run_to_end(self, *arguments: str, **settings: str) -> None:
        """Let a worker read what the topic holds."""
        with self.worker("--until-end", *arguments, **settings) as worker:
            assert worker.wait(90) == 0, self.log

    @contextmanager
    def asking(self) -> Iterator[Callable[[str], Any]]:
        """Yields what to ask ClickHouse with: SQL -> first value of the answer."""
        with connect(Address(port=self.clickhouse_port, database=self.database)) as client:
            yield client.command

    def stored(self, table: str, *, where: str = "true") -> list[Row]:
        """The final rows of a table in order of their identity; when they were stored is left out."""
        with connect(Address(port=self.clickhouse_port, database=self.database)) as client:
            order = ", ".join(f"`{name}`" for name in TABLES[table].identity)
            sql = f"SELECT * EXCEPT stored_at FROM {table}_final WHERE {where} ORDER BY {order}"
            return list(client.query(sql).named_results())

    def waits_for(self, rows: int, table: str = "readings") -> None:
        """Until so many rows can be seen."""
        with self.asking() as ask:
            count = f"SELECT count() FROM {table}_final"
            reached = eventually(lambda: self._failed or int(ask(count)) >= rows, within_s=60) and not self._failed
        assert reached, f"{rows} rows of {table} did not come:\n{self.log}"

    def progresses(self, rows: int, *, of: int) -> None:
        """Until so many more readings can be seen than now; or all of them, when fewer are left."""
        with self.asking() as ask:
            now = int(ask("SELECT count() FROM readings_final"))
        self.waits_for(min(now + rows, of))

    def says(self, text: str, times: int = 1) -> None:
        """Until a worker has said it so often."""
        assert eventually(lambda: self.log.count(text) >= times, within_s=60), f"{text!r} was not said:\n{self.log}"

    @property
    def _failed(self) -> bool:
        return any(line.startswith(("Traceback", "error ")) for line in self.log.splitlines())


def create_tables(site: Site) -> None:
    """`streamgauge db init`."""
    with connect(Address(port=site.clickhouse_port, database=site.database)) as client:
        migrate.init(client)


def sites(broker: Broker, clickhouse: EmbeddedClickHouse, home: Path, *, messages: int, partitions: int) -> MakeSite:
    """Makes places to run on one new topic with so many simulated messages, each with a database of its own."""
    topic = new_topic(broker, partitions=partitions)
    produce(broker.bootstrap, topic, simulated(messages))

    def make(name: str) -> Site:
        site = Site(
            home=home / name,
            bootstrap=broker.bootstrap,
            topic=topic,
            clickhouse_port=clickhouse.port,
            database=f"{home.name}_{name}_{topic[-8:]}",
        )
        create_tables(site)
        return site

    return make


def simulated(messages: int) -> list[Message]:
    """About so many messages of twelve sensors with every kind of trouble, five a second."""
    config = SimulationConfig(sensors=12, rate=5.0, bad_share=0.01, disorder=0.04, seed=7)
    return Simulation(config).batch(BEGIN_MS, BEGIN_MS + messages * 200)


def produce(bootstrap: str, topic: str, messages: list[Message]) -> None:
    """Send messages, keyed by sensor; returns when they are delivered."""
    with Producer(Connection(bootstrap=bootstrap)) as producer:
        producer.produce_many(topic, messages)


def produce_payloads(bootstrap: str, topic: str, payloads: Sequence[bytes | None], *, kafka_ms: int) -> None:
    """Send any payloads, also tombstones, to partition 0 of a topic; returns when they are delivered."""
    producer = RawProducer({"bootstrap.servers": bootstrap, "linger.ms": 1, "log_level": 2})
    for payload in payloads:
        producer.produce(topic, payload, partition=0, timestamp=kafka_ms)
    assert producer.flush(20) == 0


ROUNDED = ("mean", "stddev")
"""Columns that may differ in their last digits: partitions meet in another order."""

COMPARED = ("readings", "windows", "ledger", "dead_letters", "data_quality", "alerts")


def assert_same_rows(one: Site, other: Site) -> None:
    """Both hold the same final rows in all tables that depend on the input alone."""
    for table in COMPARED:
        rows, expected = one.stored(table), other.stored(table)
        identity = TABLES[table].identity
        keys, expected_keys = ([tuple(row[name] for name in identity) for row in some] for some in (rows, expected))
        assert keys == expected_keys, table
        assert rows, f"no rows of {table} to compare"
        for row, wanted in zip(rows, expected, strict=True):
            different = {name: (row[name], wanted[name]) for name in row if not _same(name, row[name], wanted[name])}
            assert not different, f"{table} {[row[name] for name in identity]}: {different}"


def _same(name: str, value: Any, wanted: Any) -> bool:
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_same("", value[key], wanted[key]) for key in value)
    if isinstance(value, float) and isinstance(wanted, float):
        if name in ROUNDED:
            return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
        return value == wanted or (math.isnan(value) and math.isnan(wanted))
    return bool(value == wanted)


def processes_of_cluster(parent: int) -> list[int]:
    """Process ids of the workers of a cluster that a process has started, in their order."""
    listing = subprocess.run(["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = []
    for line in listing.splitlines():
        pid, ppid, command = line.split(None, 2)
        if int(ppid) == parent and "--process-id" in command:
            number = command.split("--process-id")[1].split()[0]
            found.append((int(number), int(pid)))
    return [pid for _, pid in sorted(found)]
