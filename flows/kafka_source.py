"""The Kafka source of the main job as configured, with ClickHouse beside it or without."""

from collections.abc import Callable
from threading import Event

from flows.places import connection
from flows.settings import Settings
from infra.kafka.outage import Outage
from infra.kafka.schemas import SchemaSource
from infra.kafka.source import KafkaSource
from operators.intake import MakeIntake


def kafka_source(
    settings: Settings,
    partitions: tuple[str, ...],
    stop: Event,
    *,
    outage: Outage,
    schemas: SchemaSource | None,
    stop_at_end: bool = False,
) -> Callable[[MakeIntake], KafkaSource]:
    """Makes it, given how payloads are taken in. outage, schemas, stop_at_end: as of KafkaSource."""

    def make_source(make: MakeIntake) -> KafkaSource:
        return KafkaSource(
            connection(settings),
            partitions,
            make,
            group=settings.kafka.group,
            start=settings.kafka.start,
            idle_after_ms=settings.event_time.idle_after.ms,
            max_epoch_rows=settings.worker.max_epoch_rows,
            stop=stop,
            stop_at_end=stop_at_end,
            outage=outage,
            schemas=schemas,
        )

    return make_source
