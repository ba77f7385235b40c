"""A producer that never waits: for services that answer others, and must know when what they took in is delivered."""

import logging
from collections.abc import Callable, Sequence
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message

from infra.kafka.client import Connection, is_refusal
from infra.kafka.outlet import Outlet

logger = logging.getLogger(__name__)

_OVERHEAD_BYTES = 200
"""What a waiting message takes beside key and value, about."""
_ENVELOPE_BYTES = 1_024
"""By which Kafka may count a message larger than its value."""
_FLUSH_S = 0.1


Outgoing = tuple[int, bytes, bytes]
"""One message: partition, key, value."""

Ended = Callable[[int], None]
"""Told, once all messages of one `offer` have ended, how many were not delivered."""


class Deliveries:
    """For one thread, which calls `serve` often. A partition's messages are delivered in the order they were offered.

    What was taken is tried until Kafka has it, however long that takes; what bounds it is the room: `max_bytes` of
    messages that wait. max_message_bytes: of one value.
    """

    def __init__(self, connection: Connection, topic: str, *, max_bytes: int, max_message_bytes: int) -> None:
        self._connection = connection
        self._topic = topic
        self._max_bytes = max_bytes
        self._progressed_s = monotonic()
        self.waiting = 0
        """Messages taken and not ended yet."""
        self.waiting_bytes = 0
        """What they take."""
        self.failed = 0
        """Messages that Kafka has refused since the start."""
        settings = {
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": 0,  # for ever
            "message.max.bytes": max_message_bytes + _ENVELOPE_BYTES,
            "queue.buffering.max.messages": 0,  # the room is ours to bound
        }
        self._outlet = Outlet(connection, settings, idle_too=True)

    @property
    def stalled_s(self) -> float:
        """For how long nothing that waits was delivered; 0 when nothing waits."""
        return monotonic() - self._progressed_s if self.waiting else 0.0

    def offer(self, messages: Sequence[Outgoing], timestamp_ms: int, ended: Ended | None = None) -> bool:
        """Take all of the messages or, when there is no room for them, none. Raises KafkaFailure."""
        size = sum(len(value) for _, _, value in messages) + _OVERHEAD_BYTES * len(messages)
        if self.waiting and self.waiting_bytes + size > self._max_bytes:
            return False
        if not self.waiting:
            self._progressed_s = monotonic()
        report = _Handover(self, len(messages), ended).report
        produce, topic = self._outlet.client.produce, self._topic
        with self._connection.explained():
            for partition, key, value in messages:
                produce(topic, value, key, partition, report, timestamp=timestamp_ms)
                self.waiting += 1
                self.waiting_bytes += len(value) + _OVERHEAD_BYTES
        return True

    def serve(self) -> None:
        """Let delivery reports in. Raises KafkaFailure when waiting is of no use any more."""
        before = self.waiting
        self._outlet.client.poll(0)
        if self.waiting < before:
            self._progressed_s = monotonic()
            self._outlet.served()
        if self._outlet.problem is not None:
            raise self._outlet.failure(self._topic)

    def flush(self, *, timeout_s: float) -> int:
        """Wait until everything is delivered; how many messages were not within `timeout_s`."""
        deadline_s = monotonic() + timeout_s
        while self.waiting and self._outlet.problem is None and monotonic() < deadline_s:
            try:
                self._outlet.client.flush(_FLUSH_S)
            except KafkaException as error:
                self._outlet.note(error.args[0])
        return self.waiting

    def close(self) -> None:
        """Drop what is not delivered and let go of the connections."""
        self._outlet.close()

    def ended(self, error: KafkaError | None, size: int) -> None:
        """One message has: for the reports of `offer`."""
        self.waiting -= 1
        self.waiting_bytes -= size + _OVERHEAD_BYTES
        if error is not None:
            self.failed += 1
            if error.code() != KafkaError._PURGE_QUEUE:  # else it is `close`, and who called it knows
                logger.error("a message was not delivered: %s", self._connection.failure(error, topic=self._topic))
            if is_refusal(error):
                self._outlet.note(error)


class _Handover:
    """Counts the ends of messages that were offered together."""

    __slots__ = ("_deliveries", "_ended", "_failed", "_left")

    def __init__(self, deliveries: Deliveries, messages: int, ended: Ended | None) -> None:
        self._deliveries = deliveries
        self._left = messages
        self._failed = 0
        self._ended = ended

    def report(self, error: KafkaError | None, message: Message) -> None:
        """librdkafka tells of one message."""
        self._deliveries.ended(error, len(message))
        self._left -= 1
        self._failed += error is not None
        if not self._left and self._ended is not None:
            self._ended(self._failed)
