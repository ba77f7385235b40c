"""A producer that tells of each message when Kafka has it: for those who must not answer before.

producer = ReportingProducer(connection, "sensors.readings")
producer.send(key, value, on_delivered)     # at once
producer.serve(0.05)                        # calls on_delivered of what has arrived meanwhile
"""

from collections.abc import Callable
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message

from infra.kafka.client import Connection
from infra.kafka.outlet import Outlet

_POLL_S = 0.1
_QUIET_S = 5.0
"""When nothing was delivered for so long, Kafka is away, also on a connection that stands."""
_QUEUE_KBYTES = 1_048_576
_NOW = 0
"""As a message's time stamp: the wall clock's."""


class ReportingProducer:
    """For one thread. Keys decide the partition as `infra.kafka.producer` does.

    Messages wait for Kafka however long it is away, in memory: whoever sends bounds how many are on their way.
    linger_ms: how long a message waits for others to travel with.

    Raises KafkaFailure from `send` and `serve` when waiting cannot help; nothing is reported as delivered then.
    """

    def __init__(self, connection: Connection, topic: str, *, linger_ms: int = 5) -> None:
        self._connection = connection
        self._topic = topic
        self._waiting = 0
        self._progressed_s = 0.0
        settings = {
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 0,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES,
            "delivery.timeout.ms": 0,
        }
        self._outlet = Outlet(connection, settings, idle_too=True)

    @property
    def waits(self) -> bool:
        """Whether Kafka is away."""
        return self._outlet.away

    def send(
        self,
        key: bytes,
        value: bytes,
        on_delivered: Callable[[], object],
        *,
        topic: str = "",
        timestamp_ms: int = _NOW,
    ) -> str:
        """Hand over one message; "", or why Kafka will never take it. topic: another one. Raises KafkaFailure."""
        report, produce = partial(self._report, on_delivered), self._outlet.client.produce
        while True:
            try:
                produce(topic or self._topic, value, key, on_delivery=report, timestamp=timestamp_ms)
                if not self._waiting:
                    self._progressed_s = monotonic()
                self._waiting += 1
                return ""
            except BufferError:
                self.serve(_POLL_S)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    return (
                        f"{len(value)} bytes are more than Kafka takes: send less in one message, "
                        'or raise "message.max.bytes" in [kafka.client] and at the broker'
                    )
                raise self._connection.failure(error.args[0], topic=topic or self._topic) from None

    def serve(self, timeout_s: float) -> None:
        """Report what was delivered; waits so long for the first. Raises KafkaFailure."""
        self._outlet.client.poll(timeout_s)
        if self._waiting and monotonic() - self._progressed_s > _QUIET_S:
            self._outlet.unserved()
        if self._outlet.problem is not None:
            raise self._outlet.failure(self._topic)

    def close(self) -> None:
        """Drop what is not delivered, without a report, and let go of the connections."""
        self._outlet.close()

    def _report(self, on_delivered: Callable[[], object], error: KafkaError | None, message: Message) -> None:
        self._waiting -= 1
        self._progressed_s = monotonic()
        if error is None:
            self._outlet.served()
            self._delivered(on_delivered, message)
        else:
            self._outlet.note(error)

    def _delivered(self, on_delivered: Callable[[], object], message: Message) -> None:
        """For those to whom it is not enough that Kafka has it."""
        on_delivered()
