"""streamgauge itself: Kafka to closed windows, as configured by default but without detectors."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from flows import sensors
from flows.ports import Ports
from flows.production import registry
from flows.settings import Settings
from flows.worker import work
from infra.kafka.client import Connection
from infra.kafka.source import KafkaSource
from operators.batches import Rows
from operators.intake import MakeIntake
from tests.bench.load import PARTITIONS
from tests.bench.measure import Input, Outcome
from tests.bench.sink import CallingSink, new_store

SETTINGS = msgspec.structs.replace(Settings(), detectors=())


class _Counts:
    """Rows of every table, and the readings that windows counted; the rows themselves are dropped."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()

    def __call__(self, rows: Rows) -> None:
        self.rows[rows.table] += len(rows)
        if rows.table == "windows":
            columns: dict[str, Any] = rows.columns
            self.counted[columns["window"]] += int(columns["count"].sum())


def run(given: Input) -> Outcome:
    """Read the topic to its end, all windows closed; rows are counted and dropped."""
    counts = _Counts()
    run_with(given, counts)
    return Outcome(counts.rows["readings"], shares(counts.counted))


def run_with(given: Input, take: Callable[[Rows], None]) -> None:
    """The same with a sink of one's own."""
    names = tuple(f"{given.topic}/{number}" for number in range(PARTITIONS))

    def source(make: MakeIntake) -> KafkaSource:
        return KafkaSource(Connection(bootstrap=given.bootstrap), names, make, group="bench", stop_at_end=True)

    ports = Ports(names, source, CallingSink(take), registry(SETTINGS, {}), close_at_end=True)
    work(sensors.build(SETTINGS, ports), epoch=SETTINGS.worker.epoch, recovery=new_store(Path(given.store)))


def shares(counted: Counter[str]) -> dict[str, float]:
    """Readings counted in all windows of a name, divided by how many of them each reading is in."""
    return {window.name: counted[window.name] * window.hop_ms / window.size.ms for window in SETTINGS.windows}
