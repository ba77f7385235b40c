"""A producer that tells of each message when Kafka has it: for those who must not answer before.

producer = ReportingProducer(connection, "sensors.readings")
producer.send(key, value, on_delivered)     # at once
producer.serve(0.05)                        # calls on_delivered of what has arrived meanwhile
"""

from collections.abc import Callable
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Librdkafka

from infra.kafka.client import Connection, KafkaFailure, is_refusal
from infra.kafka.outage import Outage

_VICTIM = "producer"
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
        self._outage = Outage()
        self._problem: KafkaError | None = None
        self._waiting = 0
        self._progressed_s = 0.0
        with connection.explained():
            self._producer = Librdkafka(
                connection.config(
                    {
                        "enable.idempotence": True,
                        "partitioner": "murmur2_random",
                        "compression.type": "zstd",
                        "linger.ms": linger_ms,
                        "batch.num.messages": 10_000,
                        "queue.buffering.max.messages": 0,
                        "queue.buffering.max.kbytes": _QUEUE_KBYTES,
                        "delivery.timeout.ms": 0,
                        "error_cb": self._on_error,
                    }
                )
            )

    @property
    def waits(self) -> bool:
        """Whether Kafka is away."""
        return self._outage.lasts

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
        report = partial(self._report, on_delivered)
        while True:
            try:
                self._producer.produce(topic or self._topic, value, key, on_delivery=report, timestamp=timestamp_ms)
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
        self._producer.poll(timeout_s)
        if self._waiting and monotonic() - self._progressed_s > _QUIET_S:
            self._outage.begin(_VICTIM, self._connection.failure(KafkaError(KafkaError._TIMED_OUT)))
        if self._problem is not None:
            raise self._failure(self._problem)

    def close(self) -> None:
        """Drop what is not delivered, without a report, and let go of the connections."""
        self._problem = None
        self._producer.purge()
        self._producer.flush(_POLL_S)

    def _report(self, on_delivered: Callable[[], object], error: KafkaError | None, message: Message) -> None:
        self._waiting -= 1
        self._progressed_s = monotonic()
        if error is None:
            self._outage.end(_VICTIM)
            self._delivered(on_delivered, message)
        elif self._problem is None:
            self._problem = error

    def _delivered(self, on_delivered: Callable[[], object], message: Message) -> None:
        """For those to whom it is not enough that Kafka has it."""
        on_delivered()

    def _on_error(self, error: KafkaError) -> None:
        if is_refusal(error):
            self._problem = self._problem or error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._outage.begin(_VICTIM, self._connection.failure(error))

    def _failure(self, error: KafkaError) -> KafkaFailure:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return KafkaFailure(
                f"topic {self._topic}: Kafka takes smaller messages than this client sends: set "
                '"message.max.bytes" in [kafka.client] to max.message.bytes of the topic'
            )
        return self._connection.failure(error, topic=self._topic)
