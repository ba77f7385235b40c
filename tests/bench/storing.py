"""streamgauge as it runs in production, its rows stored in ClickHouse, fed no faster than it reads.

ClickHouse is where the environment says: STREAMGAUGE_CLICKHOUSE__PORT and __DATABASE.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Event

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from typing_extensions import override

from flows import sensors
from flows.configuration import load
from flows.places import clickhouse_address
from flows.ports import Ports
from flows.production import registry
from flows.worker import work
from infra.clickhouse.sink import ClickHouseSink
from infra.kafka.client import Connection
from infra.kafka.source import KafkaSource
from operators.batches import Rows
from operators.intake import MakeIntake
from tests.bench.engine import Counts
from tests.bench.keeping_up import STEP
from tests.bench.load import PARTITIONS
from tests.bench.measure import Input, Outcome, tell_read
from tests.bench.sink import new_store


def run(given: Input) -> Outcome:
    """Read so many messages, telling how many were read; all is stored at the end."""
    settings, stop, counts = load(), Event(), Counts()
    told = 0

    def look(rows: Rows) -> None:
        nonlocal told
        counts(rows)
        readings = counts.rows["readings"]
        if readings >= told + STEP:
            told = readings
            tell_read(readings)
        if readings >= given.messages:
            stop.set()

    names = tuple(f"{given.topic}/{number}" for number in range(PARTITIONS))

    def source(make: MakeIntake) -> KafkaSource:
        return KafkaSource(Connection(bootstrap=given.bootstrap), names, make, group="bench", stop=stop)

    sink = _Watched(ClickHouseSink(clickhouse_address(settings), parts=1), look)
    ports = Ports(names, source, sink, registry(settings, {}), close_at_end=True)
    work(sensors.build(settings, ports), epoch=settings.worker.epoch, recovery=new_store(Path(given.store)))
    return counts.outcome


class _Watched(FixedPartitionedSink[Rows, None]):
    """Shows rows to somebody before they are stored."""

    def __init__(self, sink: ClickHouseSink, look: Callable[[Rows], None]) -> None:
        self._sink = sink
        self._look = look

    @override
    def list_parts(self) -> list[str]:
        return self._sink.list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> StatefulSinkPartition[Rows, None]:
        return _WatchedPart(self._sink.build_part(step_id, for_part, resume_state), self._look)


class _WatchedPart(StatefulSinkPartition[Rows, None]):
    def __init__(self, part: StatefulSinkPartition[Rows, None], look: Callable[[Rows], None]) -> None:
        self._part = part
        self._look = look

    @override
    def write_batch(self, values: list[Rows]) -> None:
        for rows in values:
            self._look(rows)
        self._part.write_batch(values)

    @override
    def snapshot(self) -> None:
        self._part.snapshot()

    @override
    def close(self) -> None:
        self._part.close()
