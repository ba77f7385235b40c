"""`make soak`: a day of readings at full speed through one worker, and what becomes of its memory, files and store.

Messages are sent as the worker reads them and deleted behind it, so that the broker's memory stays bounded too.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console

from flows.commands.common import wide_console
from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from tests.bench.arrow_load import arrow_steps
from tests.bench.keeping_up import STEP
from tests.bench.load import PARTITIONS, Load, new_topics
from tests.bench.measure import Input
from tests.bench.recovery.figures import Figure, show
from tests.bench.recovery.process import open_files, resident_bytes, size_of

READINGS = 50_000_000
_INTERVAL_S = 17.28
"""Of each sensor: as many readings of 10,000 sensors are a day."""
_UNREAD = 200_000
"""Readings sent but not yet read, at most."""
_KEPT = 10 * _UNREAD
"""Of the readings sent last so many stay at the broker: partitions are not read evenly."""
_GROWTH = 1.05
_LOOK_S, _PAUSE_S = 0.5, 0.02
_TOPIC = "soak"


@dataclass(frozen=True, slots=True)
class Sample:
    """The worker after so many readings. broker_bytes: memory of the broker."""

    at_s: float
    readings: int
    memory_bytes: int
    files: int
    store_bytes: int
    broker_bytes: int


class Worker:
    """The main job in a process of its own, its rows counted and dropped. read: readings so far."""

    def __init__(self, given: Input) -> None:
        self.read = 0
        self.counted: dict[str, float] = {}
        told = json.dumps({"job": "detecting_keeping_up", "warm": None, "given": asdict(given)})
        command = [sys.executable, "-m", "tests.bench.child", told]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Its exit code."""
        self._thread.join()
        return self._process.wait()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self.read = answer.get("read", self.read)
            self.counted = answer.get("counted", self.counted)


class Sender:
    """Sends a stream no faster than it is read, and deletes what was read long ago."""

    def __init__(self, connection: Connection, load: Load) -> None:
        self.sent = 0
        self._steps = arrow_steps(load)
        self._producer = Producer(connection)
        self._admin = AdminClient(connection.config({}))
        self._offsets = [0] * PARTITIONS
        self._kept: deque[tuple[int, list[int]]] = deque()

    def send(self, read: int) -> None:
        """As much as may wait to be read."""
        while self.sent < read + _UNREAD and (step := next(self._steps, None)) is not None:
            for partition, payload, readings, time_ms in step:
                if readings:
                    self._producer.produce(_TOPIC, b"", payload, time_ms, partition=partition)
                    self._offsets[partition] += 1
                    self.sent += readings
            self._kept.append((self.sent, self._offsets.copy()))
        self._producer.flush()

    def forget(self) -> None:
        """Delete what lies far back."""
        offsets: list[int] | None = None
        while self._kept and self._kept[0][0] < self.sent - _KEPT:
            _, offsets = self._kept.popleft()
        if offsets is not None:
            upto = [TopicPartition(_TOPIC, number, offset) for number, offset in enumerate(offsets)]
            for done in self._admin.delete_records(upto).values():
                done.result()

    def close(self) -> None:
        """Let go of the connections."""
        self._producer.close()


def run(load: Load, *, console: Console) -> bool:
    """Soak and print; False when readings are missing from the windows. Ctrl-C or SIGTERM ends it early."""
    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-soak-") as name,
        Broker(Path(name) / "broker") as broker,
    ):
        connection = Connection(bootstrap=broker.bootstrap)
        new_topics(connection, _TOPIC)
        store = Path(name) / "store"
        store.mkdir()
        sender = Sender(connection, load)
        sender.send(0)  # a partition that is empty at the start would count as idle and hold no window back
        with _worker(Input(broker.bootstrap, _TOPIC, load.messages, str(store))) as worker:
            samples = _drive(worker, sender, load, lambda: _sample(worker, store, broker), console)
            done = sender.sent == load.messages
            code = worker.wait() if done else 0
    if code == 0:
        show("Soak", figures(load, samples), console)
    if not done:
        return code == 0
    counted = min(worker.counted.values(), default=0.0) / load.messages
    console.print(f"{counted:.4%} of the readings are in the windows; exit code {code}")
    return code == 0 and counted == 1.0


@contextmanager
def _worker(given: Input) -> Iterator[Worker]:
    worker = Worker(given)
    try:
        yield worker
    finally:
        worker.kill()


def _drive(worker: Worker, sender: Sender, load: Load, sample: Callable[[], Sample], console: Console) -> list[Sample]:
    """Send until all is read, a sample every now and then, a line every fiftieth of the way."""
    samples: list[Sample] = []
    told = 0
    try:
        while worker.read + STEP < load.messages and worker.runs:
            sender.send(worker.read)
            time.sleep(_PAUSE_S)
            if samples and time.monotonic() - samples[-1].at_s < _LOOK_S:
                continue
            sender.forget()
            samples.append(sample())
            if samples[-1].readings * 50 // load.messages > told:
                told = samples[-1].readings * 50 // load.messages
                console.print(_progress(samples), highlight=False)
        sender.send(worker.read)
    except KeyboardInterrupt:
        console.print(f"stopped early: {_progress(samples)}", highlight=False)
    finally:
        sender.close()
    return samples


def _sample(worker: Worker, store: Path, broker: Broker) -> Sample:
    return Sample(
        at_s=time.monotonic(),
        readings=worker.read,
        memory_bytes=resident_bytes(worker.pid),
        files=open_files(worker.pid),
        store_bytes=size_of(store),
        broker_bytes=resident_bytes(broker.pid),
    )


def _progress(samples: list[Sample]) -> str:
    first, last = samples[0], samples[-1]
    rate = (last.readings - first.readings) / max(last.at_s - first.at_s, 1e-9)
    return (
        f"{last.readings:>12,} readings, {rate:>9,.0f}/s, worker {last.memory_bytes / 1e6:,.0f} MB, "
        f"{last.files} files open, store {last.store_bytes / 1e6:,.0f} MB, broker {last.broker_bytes / 1e6:,.0f} MB"
    )


def figures(load: Load, samples: list[Sample]) -> list[Figure]:
    """The second half beside its own beginning, by medians over a tenth of the readings."""
    total = samples[-1].readings
    rate = (total - samples[0].readings) / max(samples[-1].at_s - samples[0].at_s, 1e-9)
    span_h = total / load.sensors * load.interval_s / 3600

    def around(share: float, value: Callable[[Sample], int]) -> float:
        least, most = (share - 0.1) * total, share * total
        found = [float(value(one)) for one in samples if least <= one.readings <= most]
        return float(np.median(found or [np.nan]))

    def flat(what: str, value: Callable[[Sample], int], unit: str, wanted: str, most: float) -> Figure:
        quarters = [around(share, value) for share in (0.25, 0.5, 0.75, 1.0)]
        half, end = around(0.6, value), quarters[-1]
        growth = end / half - 1 if half else 0.0
        told = ", ".join(f"{one:,.0f}" for one in quarters)
        return Figure(
            f"{what} after each quarter",
            f"{told}{unit}, {growth:+.1%}",
            wanted,
            end <= half * most,
        )

    return [
        Figure("readings, event time", f"{total:,}, {span_h:.1f} h of {load.sensors:,} sensors"),
        Figure("readings/s", f"{rate:,.0f}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"),
        flat("worker's memory", lambda one: one.memory_bytes // 10**6, " MB", "under 5 % in the last half", _GROWTH),
        flat("open files", lambda one: one.files, "", "flat", 1.0),
        flat("recovery store", lambda one: one.store_bytes // 10**6, " MB", "under 5 % in the last half", _GROWTH),
        flat("broker's memory", lambda one: one.broker_bytes // 10**6, " MB", "", _GROWTH),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 when readings are missing; missed targets are only said."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--readings", type=int, default=READINGS)
    parser.add_argument("--sensors", type=int, default=10_000)
    options = parser.parse_args(arguments)
    load = Load(messages=options.readings, sensors=options.sensors, interval_s=_INTERVAL_S)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(not run(load, console=wide_console()))


if __name__ == "__main__":
    main()
