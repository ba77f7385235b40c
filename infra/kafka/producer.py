"""A batching producer: what is handed over is delivered, in order per key, once; or it is said that it was not."""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message

from infra.kafka.client import Connection, DeliveryFailed
from infra.kafka.outage import Outage
from infra.kafka.outlet import Outlet

_QUEUE_MESSAGES = 100_000
_QUEUE_KBYTES = 64 * 1024
_SERVE_EVERY = 1_000
_POLL_S = 0.1


BY_KEY = -1
"""The partition that the key decides."""


class Producer:
    """For one thread. Keys decide the partition (murmur2 as in Java clients, so that mixed producers agree).

    The local queue is bounded (100,000 messages, 64 MB): when it is full, handing over waits. A message that Kafka does
    not take within 5 minutes (`delivery.timeout.ms`) has failed; failures raise DeliveryFailed from the next call on.

    settings: of librdkafka, above the ones here.
    outage: shared with other clients of the process, so that Kafka's being away is said once.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Mapping[str, str | int] | None = None,
        *,
        outage: Outage | None = None,
    ) -> None:
        self._connection = connection
        self._handed_over = 0
        self._failed = 0
        ours: dict[str, object] = {
            "linger.ms": 50,
            "queue.buffering.max.messages": _QUEUE_MESSAGES,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES,
            "delivery.report.only.error": True,
            "on_delivery": self._on_failure,
        }
        self._outlet = Outlet(connection, {**ours, **(settings or {})}, outage=outage, idle_too=False)
        self._producer = self._outlet.client

    @property
    def delivered(self) -> int:
        """Messages Kafka is known to have taken; rather too few, as librdkafka counts its own notices as queued."""
        return max(0, self._handed_over - len(self._producer) - self._failed)

    def produce(self, topic: str, key: bytes, value: bytes, timestamp_ms: int, *, partition: int = BY_KEY) -> None:
        """Hand over one message; waits while the local queue is full. Raises DeliveryFailed."""
        self.produce_many(topic, ((key, value, timestamp_ms),), partition=partition)

    def produce_many(
        self, topic: str, messages: Iterable[tuple[bytes, bytes, int]], *, partition: int = BY_KEY
    ) -> None:
        """Hand over (key, value, timestamp_ms) messages; waits while the local queue is full. Raises DeliveryFailed."""
        produce, count = self._producer.produce, self._handed_over
        try:
            for key, value, timestamp_ms in messages:
                while True:
                    try:
                        produce(topic, value, key, partition, timestamp=timestamp_ms)
                        break
                    except BufferError:
                        self._serve(_POLL_S)
                count += 1
                if count % _SERVE_EVERY == 0:
                    self._serve(0)
        except KafkaException as error:
            raise self._refused(error.args[0], topic, len(value)) from None
        finally:
            self._handed_over = count

    def flush(self, *, timeout_s: float | None = None, on_progress: Callable[[int], None] | None = None) -> int:
        """Wait until everything handed over is delivered; the number of messages delivered since the start.

        on_progress: told several times a second how many messages are still to be delivered.
        Raises DeliveryFailed when some were not, also within `timeout_s`.
        """
        deadline_s = None if timeout_s is None else monotonic() + timeout_s
        while left := self._flush_a_little():
            self._check()
            if on_progress is not None:
                on_progress(left)
            if deadline_s is not None and monotonic() > deadline_s:
                raise DeliveryFailed(
                    f"messages not delivered to Kafka at {self._connection.bootstrap} within {timeout_s:g} s: {left}. "
                    "Is it running?"
                )
        self._check()
        self._outlet.served()
        return self.delivered

    def close(self) -> None:
        """Drop what is not delivered and let go of the connections; `flush` first."""
        self._outlet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    def _flush_a_little(self) -> int:
        """How many messages are still to be delivered after a moment."""
        try:
            return self._producer.flush(_POLL_S)
        except KafkaException as error:
            self._outlet.note(error.args[0])
            return len(self._producer)

    def _serve(self, timeout_s: float) -> None:
        """Let delivery reports in, so that the queue drains."""
        before = len(self._producer)
        self._producer.poll(timeout_s)
        self._check()
        if len(self._producer) < before:
            self._outlet.served()

    def _check(self) -> None:
        if self._outlet.problem is not None:
            why = self._connection.failure(self._outlet.problem)
            raise DeliveryFailed(f"messages not delivered: {self._failed}. {why}" if self._failed else str(why))

    def _on_failure(self, error: KafkaError | None, _message: Message) -> None:
        self._failed += 1
        self._outlet.note(error)

    def _refused(self, error: KafkaError, topic: str, size_bytes: int) -> DeliveryFailed:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return DeliveryFailed(
                f"topic {topic}: a message of {size_bytes} bytes is larger than Kafka takes: split it, "
                "or raise message.max.bytes in [kafka.client] and at the broker"
            )
        return DeliveryFailed(str(self._connection.failure(error, topic=topic)))
