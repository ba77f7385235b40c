"""What a flow needs from the world: a source and a sink. Production: Kafka and ClickHouse; tests: lists."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.inputs import Source
from bytewax.outputs import Sink

from operators.batches import Rows
from operators.framed import Schemas
from operators.intake import IntakeBatch, MakeIntake
from operators.meter import UNMETERED, Meter
from operators.registry import Registry


@dataclass(frozen=True, slots=True)
class Ports:
    """partitions: every "topic/partition" the source reads, the same in all processes of a cluster.

    source: given how to make a partition's intake, the Bytewax source of its batches.
    tables: takes (key, Rows) items for any table; must be a FixedPartitionedSink, for the epoch waits for it.
    registry: what is known of sensors and types beforehand.
    close_at_end: close all windows at the end of input; only for bounded input that is not gone on with.
    meter: watches the steps at work.
    alerts: takes (key, Rows) items of the table alerts, for those who want to hear of them at once; None for nobody.
    schemas: of payloads that a schema registry frames; the source fills it. None: there is no registry.
    """

    partitions: tuple[str, ...]
    source: Callable[[MakeIntake], Source[IntakeBatch]]
    tables: Sink[tuple[str, Rows]]
    registry: Registry
    close_at_end: bool = False
    meter: Meter = UNMETERED
    alerts: Sink[tuple[str, Rows]] | None = None
    schemas: Schemas | None = None
