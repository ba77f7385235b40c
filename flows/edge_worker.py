"""The flow on a device: the same as everywhere, told to its log beside ClickHouse, or instead of it."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from typing_extensions import override

from flows import edge, sensors
from flows.graceful import Failures, GracefulSource
from flows.kafka_source import kafka_source
from flows.observing import traced
from flows.places import connection
from flows.ports import Ports
from flows.readiness import reporting
from flows.recovery import Layout, open_store
from flows.rehearsal import rehearse
from flows.schemas import schema_source
from flows.settings import Settings
from flows.unsupervised import OwnReport, beating
from flows.worker import work
from infra.edge import told
from infra.kafka.admin import create_topic
from infra.kafka.alerts import AlertSink
from infra.kafka.outage import Outage
from infra.observe.health import HealthServer
from infra.observe.meters import StepMeter
from infra.observe.metrics import exposition
from infra.observe.systemd import Systemd
from infra.registry import read_file
from infra.signals import StopFlag, ignore_signals
from operators.batches import Rows
from operators.registry import Registry

logger = logging.getLogger(__name__)

Sink = FixedPartitionedSink[Rows, None]


def work_on_device(settings: Settings, stop: StopFlag, *, store: bool) -> None:
    """Until `stop`, then drain. Raises what people can act on."""
    report = OwnReport(stop, Systemd())
    with (
        _served(settings, report),
        beating(stop, Systemd(), drain_timeout_s=settings.worker.drain_timeout.ms / 1000),
        traced(settings, "edge"),
    ):
        rehearse(settings)
        recovery = open_store(Path(settings.worker.recovery_dir), Layout.of("sensors", settings))
        make_topics(settings)
        failures = Failures(stop.set)
        ports = _with_store(settings, stop, failures) if store else _without_store(settings, stop, failures)
        source = ports.source
        flow = sensors.build(settings, replace(ports, source=lambda make: source(reporting(make, report))))
        report.reached(ports.partitions)
        work(flow, epoch=settings.worker.epoch, recovery=recovery)
        ignore_signals()
        failures.raise_first()


def make_topics(settings: Settings) -> None:
    """One partition each, and no more than log_bytes. Raises KafkaFailure."""
    size = settings.edge.log_bytes
    bounds = {"retention.ms": "-1", "retention.bytes": str(size), "segment.bytes": str(max(100_000, size // 16))}
    for topic in edge.topics(settings).values():
        create_topic(connection(settings), topic, partitions=1, config=bounds)


def _with_store(settings: Settings, stop: StopFlag, failures: Failures) -> Ports:
    # Here, for without a store ClickHouse's client is not needed.
    from flows.places import clickhouse_address
    from flows.production import production_ports, retention
    from infra.clickhouse import migrate
    from infra.clickhouse.client import connect
    from infra.clickhouse.sink import ClickHouseSink

    address = clickhouse_address(settings)
    migrate.init(connect(address, wait_s=60), retention=retention(settings))
    sink = ClickHouseSink(address, parts=1)
    ports = production_ports(settings, sink, stop, failures, stop_at_end=False, close_at_end=False)
    return replace(ports, tables=_Both(sink, _told(settings)))


def _without_store(settings: Settings, stop: StopFlag, failures: Failures) -> Ports:
    kafka, outage, schemas = settings.kafka, Outage(), schema_source(settings)
    names = (f"{kafka.topics[0]}/0",)

    made = kafka_source(settings, names, stop, outage=outage, schemas=schemas)
    alerts = AlertSink(connection(settings), kafka.alerts_topic, outage=outage)
    return Ports(
        names,
        lambda make: GracefulSource(made, make, failures),
        _told(settings),
        _registry(settings),
        meter=StepMeter(),
        alerts=alerts,
        schemas=None if schemas is None else schemas.schemas,
    )


def _registry(settings: Settings) -> Registry:
    from flows.production import registry

    file = settings.registry.file
    return registry(settings, read_file(Path(file)) if file else {})


def _told(settings: Settings) -> told.ToldSink:
    """What is read of it: nothing else is written."""
    read, names = edge.readers(settings), edge.topics(settings)
    rows = {"readings": (names["verdicts"], told.verdicts), "windows": (names["windows"], told.windows)}
    return told.ToldSink(connection(settings), {table: to for table, to in rows.items() if to[0] in read})


class _Both(FixedPartitionedSink[Rows, None]):
    """Two sinks as one, of one part."""

    def __init__(self, first: Sink, second: Sink) -> None:
        self._sinks = first, second

    @override
    def list_parts(self) -> list[str]:
        return ["device"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_BothParts":
        return _BothParts([one.build_part(step_id, one.list_parts()[0], None) for one in self._sinks])


class _BothParts(StatefulSinkPartition[Rows, None]):
    def __init__(self, parts: list[StatefulSinkPartition[Rows, None]]) -> None:
        self._parts = parts

    @override
    def write_batch(self, values: list[Rows]) -> None:
        for part in self._parts:
            part.write_batch(values)

    @override
    def snapshot(self) -> None:
        for part in self._parts:
            part.snapshot()

    @override
    def close(self) -> None:
        for part in self._parts:
            part.close()


@contextmanager
def _served(settings: Settings, report: OwnReport) -> Iterator[None]:
    """Health and metrics, for the process that watches this one."""
    with ExitStack() as stack:
        if settings.observe.listen:
            server = HealthServer(settings.observe.listen, live=list, ready=lambda: report.missing, metrics=exposition)
            stack.enter_context(server)
        yield
