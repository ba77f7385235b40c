"""The production ports: Kafka in, ClickHouse out; and what has to be there before a flow can run."""

import math
from pathlib import Path
from threading import Event

from flows.graceful import Failures, GracefulSource
from flows.kafka_source import kafka_source
from flows.places import clickhouse_address, connection
from flows.ports import Ports
from flows.restarts import telling_restarts
from flows.schemas import schema_source
from flows.settings import Settings
from infra.clickhouse import migrate, schema_check
from infra.clickhouse.client import Client, connect
from infra.clickhouse.migrate import Retention
from infra.clickhouse.registry import load_registry, save_registry
from infra.clickhouse.sink import ClickHouseSink
from infra.kafka.admin import create_topic, exists, partitions
from infra.kafka.alerts import AlertSink
from infra.kafka.client import KafkaFailure, Unreachable
from infra.kafka.outage import Outage
from infra.observe.meters import StepMeter
from infra.registry import read_file
from infra.simulate.runner import wall_clock_ms
from operators.intake import MakeIntake
from operators.registry import Registry, SensorInfo, TypeInfo

EMBEDDED_PARTITIONS = 4


def retention(settings: Settings) -> Retention:
    """How long rows are kept."""
    kept = settings.clickhouse.retention
    return Retention(readings_ms=kept.readings.ms, windows_ms=kept.windows.ms, others_ms=kept.others.ms)


def prepare(settings: Settings) -> list[str]:
    """Tables and topics on services of one's own; returns what was done, one line each.

    The topics keep readings for good: a broker deletes by time stamp, which would take historical readings at once.
    """
    done = migrate.init(connect(clickhouse_address(settings), wait_s=30), retention=retention(settings))
    for topic in settings.kafka.topics:
        if create_topic(connection(settings), topic, partitions=EMBEDDED_PARTITIONS, config={"retention.ms": "-1"}):
            done.append(f"created topic {topic} with {EMBEDDED_PARTITIONS} partitions")
    return done


def registry(settings: Settings, known: dict[str, SensorInfo]) -> Registry:
    """What is known of sensors and types beforehand."""
    types = {
        name: TypeInfo(
            unit=kind.unit,
            min_value=math.nan if kind.min is None else kind.min,
            max_value=math.nan if kind.max is None else kind.max,
            interval_ms=math.nan if kind.interval is None else kind.interval.ms,
        )
        for name, kind in settings.sensor_types.items()
    }
    return Registry(sensors=known, types=types, unknown_types=settings.registry.unknown_types)


def known_registry(settings: Settings, client: Client) -> Registry:
    """What is known of sensors, from the configured file, else from the table, and of types.

    Raises RegistryError, ClickHouseError.
    """
    file = settings.registry.file
    return registry(settings, read_file(Path(file)) if file else load_registry(client))


def production_ports(
    settings: Settings, sink: ClickHouseSink, stop: Event, failures: Failures, *, stop_at_end: bool, close_at_end: bool
) -> Ports:
    """Wait for Kafka and ClickHouse, check the schema, load the registry.

    failures: takes what ends the source later on.

    Raises SettingsError, ClickHouseError, KafkaFailure.
    """
    kafka = settings.kafka
    address = clickhouse_address(settings)
    # A flow that goes on for ever waits for ever; one that is to end says so when it cannot begin.
    wait_s = 60.0 if stop_at_end else math.inf
    client = connect(address, wait_s=wait_s, stop=stop)
    schema_check.check(client)
    known = known_registry(settings, client)
    if settings.registry.file:
        save_registry(client, known.sensors, updated_ms=wall_clock_ms())
    client.close()
    names = partitions(connection(settings), kafka.topics, wait_s=wait_s, cancelled=stop.is_set)
    outage, schemas = Outage(), schema_source(settings)
    known_schemas = None if schemas is None else schemas.schemas

    made = kafka_source(settings, names, stop, outage=outage, schemas=schemas, stop_at_end=stop_at_end)

    def source(make: MakeIntake) -> GracefulSource:
        return GracefulSource(made, telling_restarts(make, address, start=kafka.start), failures)

    alerts = None
    if kafka.alerts_topic:
        _make_alerts_topic(settings, stop, wait_s=wait_s)
        alerts = AlertSink(connection(settings), kafka.alerts_topic, outage=outage)
    return Ports(names, source, sink, known, close_at_end, StepMeter(), alerts, known_schemas)


def _make_alerts_topic(settings: Settings, stop: Event, *, wait_s: float) -> None:
    """When it is not there. Raises KafkaFailure."""
    topic = settings.kafka.alerts_topic
    while True:
        try:
            if not exists(connection(settings), topic):
                create_topic(connection(settings), topic, partitions=EMBEDDED_PARTITIONS)
            return
        except Unreachable:
            if math.isfinite(wait_s) or stop.wait(1.0):
                raise
        except KafkaFailure as failure:
            raise KafkaFailure(
                f"kafka.alerts_topic = '{topic}': {failure}; create it yourself, or set it to \"\" for none"
            ) from None
