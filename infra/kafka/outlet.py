"""What all our producers do alike: one of librdkafka's, who says that Kafka is away, and what no waiting heals."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka import Producer as Librdkafka

from infra.kafka.client import Connection, KafkaFailure, is_refusal
from infra.kafka.outage import Outage

_VICTIM = "producer"
_FLUSH_S = 0.1


class Outlet:
    """For one thread. settings: of librdkafka, above the ones here. outage: shared with other clients, or its own.

    idle_too: whether Kafka's being away is said also when nothing is to be sent.
    Raises KafkaFailure.
    """

    def __init__(
        self, connection: Connection, settings: Mapping[str, Any], *, outage: Outage | None = None, idle_too: bool
    ) -> None:
        self._connection, self._idle_too = connection, idle_too
        self._outage = outage or Outage()
        self.problem: KafkaError | None = None
        """The first that no waiting heals."""
        ours = {
            "enable.idempotence": True,
            # As Java clients, so that mixed producers agree.
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "batch.num.messages": 10_000,
            "error_cb": self._on_error,
        }
        with connection.explained():
            self.client = Librdkafka(connection.config({**ours, **settings}))

    @property
    def away(self) -> bool:
        """Whether Kafka is."""
        return self._outage.lasts

    def served(self) -> None:
        """Kafka has taken something."""
        self._outage.end(_VICTIM)

    def unserved(self) -> None:
        """It has taken nothing for too long, also on a connection that stands."""
        self._outage.begin(_VICTIM, self._connection.failure(KafkaError(KafkaError._TIMED_OUT)))

    def note(self, error: KafkaError | None) -> None:
        """Something that no waiting heals; the first one counts."""
        self.problem = self.problem or error

    def failure(self, topic: str) -> KafkaFailure:
        """The problem, for people."""
        assert self.problem is not None
        if self.problem.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return KafkaFailure(
                f"topic {topic}: Kafka takes smaller messages than this client sends: set "
                '"message.max.bytes" in [kafka.client] to max.message.bytes of the topic'
            )
        return self._connection.failure(self.problem, topic=topic)

    def close(self) -> None:
        """Drop what is not delivered and let go of the connections."""
        self.client.purge()
        self.client.flush(_FLUSH_S)

    def _on_error(self, error: KafkaError) -> None:
        if is_refusal(error):
            self.note(error)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and (self._idle_too or len(self.client)):
            self._outage.begin(_VICTIM, self._connection.failure(error))
