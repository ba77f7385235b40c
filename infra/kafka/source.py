"""Kafka topics as a Bytewax source: batches of a partition's readings, exactly once from snapshot to snapshot.

Every partition has a consumer and a bounded queue of its own, so that in a catch-up they advance side by side. Offsets
come from the recovery store alone; the consumer group only shows lag.
"""

import threading

from bytewax.inputs import FixedPartitionedSource
from typing_extensions import override

from infra.kafka.client import Connection
from infra.kafka.outage import Outage
from infra.kafka.partition import KafkaPartition, Reader
from infra.kafka.schemas import SchemaSource
from infra.kafka.start import Start
from operators.intake import IntakeBatch, MakeIntake, SourceState

_ALL_QUEUES_KBYTES = 128 * 1024
_QUEUE_KBYTES = (1024, 16 * 1024)


class KafkaSource(FixedPartitionedSource[IntakeBatch, SourceState]):
    """Reads the given partitions; see `infra.kafka.admin.partitions`.

    partitions: every "topic/partition", the same in all workers.
    make_intake: makes what a partition's messages are fed to.
    group: consumer group whose offsets show how far completed epochs are.
    start: "earliest", "latest" or an RFC 3339 time; counts where the recovery store knows nothing.
    idle_after_ms: wall-clock silence after which a partition is idle, if the broker then says that there is nothing
        more; 0: never. One that has never held a message is idle at once.
    max_epoch_rows: after so many messages or readings, whichever are more, a partition waits for the next snapshot.
    stop: when set, every partition ends after its last batch, so that Bytewax writes snapshots and returns.
    stop_at_end: a partition ends with the messages it held at the start.
    outage: shared with other clients of the process, so that Kafka's being away is said once.
    schemas: finds out about those of payloads that a schema registry frames, for what make_intake makes; messages wait
        for it.

    A broker that is away, changes of leaders and the like are waited for, and said once; wrong rights or a topic that
    stays away for a minute raise KafkaFailure; offsets the broker no longer has are skipped with an error in the log.
    """

    def __init__(
        self,
        connection: Connection,
        partitions: tuple[str, ...],
        make_intake: MakeIntake,
        *,
        group: str = "streamgauge",
        start: str = "earliest",
        idle_after_ms: int = 30_000,
        max_epoch_rows: int = 5_000_000,
        stop: threading.Event | None = None,
        stop_at_end: bool = False,
        outage: Outage | None = None,
        schemas: SchemaSource | None = None,
    ) -> None:
        self._partitions = partitions
        self._make_intake = make_intake
        least, most = _QUEUE_KBYTES
        self._reader = Reader(
            connection=connection,
            group=group,
            start=Start.parse(start),
            idle_after_s=idle_after_ms / 1000,
            max_epoch_rows=max_epoch_rows,
            stop_at_end=stop_at_end,
            stop=stop or threading.Event(),
            queue_kbytes=max(least, min(most, _ALL_QUEUES_KBYTES // max(1, len(partitions)))),
            outage=outage or Outage(),
            schemas=schemas,
        )

    @override
    def list_parts(self) -> list[str]:
        return list(self._partitions)

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: SourceState | None) -> KafkaPartition:
        topic, _, number = for_part.rpartition("/")
        intake = self._make_intake(topic, int(number), resume_state)
        return KafkaPartition(topic, int(number), reader=self._reader, intake=intake, resume_state=resume_state)
