"""streamgauge itself: Kafka to closed windows, as configured by default but without detectors, or with them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event
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

DETECTING = Settings()
SETTINGS = msgspec.structs.replace(DETECTING, detectors=())


class Counts:
    """Rows of every table, and the readings that windows counted; the rows themselves are dropped."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()

    def __call__(self, rows: Rows) -> None:
        self.rows[rows.table] += len(rows)
        if rows.table == "windows":
            columns: dict[str, Any] = rows.columns
            self.counted[columns["window"]] += int(columns["count"].sum())

    @property
    def outcome(self) -> Outcome:
        """What was counted."""
        return Outcome(self.rows["readings"], shares(self.counted))


def run(given: Input, *, settings: Settings = SETTINGS) -> Outcome:
    """Read the topic to its end, all windows closed; rows are counted and dropped."""
    counts = Counts()
    run_with(given, counts, settings=settings)
    return counts.outcome


def run_with(
    given: Input, take: Callable[[Rows], None], *, settings: Settings = SETTINGS, stop: Event | None = None
) -> None:
    """The same with a sink of one's own. stop: when given, reads on until it is set."""
    names = tuple(f"{given.topic}/{number}" for number in range(PARTITIONS))
    connection = Connection(bootstrap=given.bootstrap)

    def source(make: MakeIntake) -> KafkaSource:
        return KafkaSource(connection, names, make, group="bench", stop_at_end=stop is None, stop=stop)

    ports = Ports(names, source, CallingSink(take), registry(settings, {}), close_at_end=True)
    work(sensors.build(settings, ports), epoch=settings.worker.epoch, recovery=new_store(Path(given.store)))


def shares(counted: Counter[str]) -> dict[str, float]:
    """Readings counted in all windows of a name, divided by how many of them each reading is in."""
    return {window.name: counted[window.name] * window.hop_ms / window.size.ms for window in SETTINGS.windows}
