"""What a flow needs from the world: a source and a sink. Production: Kafka and ClickHouse; tests: lists."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.inputs import Source
from bytewax.outputs import Sink

from operators.batches import Rows
from operators.intake import IntakeBatch, MakeIntake


@dataclass(frozen=True, slots=True)
class Ports:
    """partitions: every "topic/partition" the source reads, the same in all processes of a cluster.

    source: given how to make a partition's intake, the Bytewax source of its batches.
    tables: takes (key, Rows) items for any table; must be a FixedPartitionedSink, for the epoch waits for it.
    """

    partitions: tuple[str, ...]
    source: Callable[[MakeIntake], Source[IntakeBatch]]
    tables: Sink[tuple[str, Rows]]
