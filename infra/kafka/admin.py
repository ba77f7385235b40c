"""Looking at topics and groups, and creating topics: what `check`, `db` and a flow's start need, not its hot path."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.kafka.client import Connection, TopicMissing, Unreachable, is_away, is_telling
from infra.kafka.outage import Outage

_ANSWER_TIMEOUT_S = 3.0
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer group is behind in one partition.

    committed: next offset the group will read; None when it has never committed.
    low, high: first offset held, offset the next message will get.
    """

    topic: str
    partition: int
    committed: int | None
    low: int
    high: int

    @property
    def messages(self) -> int:
        """Messages not read yet."""
        return self.high - max(self.low, self.committed if self.committed is not None else self.low)


def create_topic(
    connection: Connection, topic: str, *, partitions: int, config: Mapping[str, str] | None = None
) -> bool:
    """Create a topic with the broker's own replication; False when it exists already (it is left as it is).

    config: topic settings. A broker deletes by the time stamps of messages, seven days by default: a topic for
    historical readings needs {"retention.ms": "-1"}.
    Raises KafkaFailure.
    """
    with connection.explained():
        admin = AdminClient(connection.config({}))
        new = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=dict(config or {}))
        try:
            admin.create_topics([new], request_timeout=_ANSWER_TIMEOUT_S)[topic].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise
    return True


def exists(connection: Connection, topic: str) -> bool:
    """Whether there is such a topic. Raises Unreachable, KafkaFailure."""
    try:
        partition_counts(connection, [topic])
    except TopicMissing:
        return False
    return True


def partition_counts(connection: Connection, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has. Raises TopicMissing, Unreachable, KafkaFailure."""
    with _observer(connection) as consumer:
        return {topic: _partition_count(connection, consumer, topic) for topic in topics}


def partitions(
    connection: Connection,
    topics: Sequence[str],
    *,
    wait_s: float = 60.0,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[str, ...]:
    """Every "topic/partition" of the topics, in order.

    wait_s: how long to wait for a broker that does not answer and for topics that do not exist (math.inf: for ever),
    which is said once. Raises TopicMissing, Unreachable or, at once, KafkaFailure when waiting is of no use.
    """
    outage, deadline_s = Outage(), time.monotonic() + wait_s
    while True:
        try:
            counts = partition_counts(connection, topics)
        except (TopicMissing, Unreachable) as problem:
            if cancelled() or time.monotonic() >= deadline_s:
                raise
            outage.begin("metadata", problem)
            time.sleep(_PAUSE_S)
        else:
            outage.end("metadata")
            return tuple(f"{topic}/{number}" for topic, count in counts.items() for number in range(count))


def group_lag(connection: Connection, group: str, topics: Sequence[str]) -> tuple[Lag, ...]:
    """How far a group is behind, per partition. Raises KafkaFailure."""
    with _observer(connection, group=group) as consumer:
        places = [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(_partition_count(connection, consumer, topic))
        ]
        lags = []
        for place in consumer.committed(places, timeout=_ANSWER_TIMEOUT_S):
            if place.error is not None:
                raise connection.failure(place.error, topic=place.topic)
            low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_TIMEOUT_S)
            committed = place.offset if place.offset >= 0 else None
            lags.append(Lag(place.topic, place.partition, committed, low, high))
        return tuple(lags)


def newest_times_ms(connection: Connection, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """Kafka time stamp of the newest message of each topic and partition that holds one. Raises KafkaFailure."""
    with _observer(connection) as consumer:
        places = []
        for topic in topics:
            for number in range(_partition_count(connection, consumer, topic)):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_ANSWER_TIMEOUT_S)
                if low < high:
                    places.append(TopicPartition(topic, number, high - 1))
        consumer.assign(places)
        newest: dict[tuple[str, int], int] = {}
        deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while len(newest) < len(places) and time.monotonic() < deadline_s:
            for message in consumer.consume(len(places), _PAUSE_S / 4):
                name, partition = message.topic(), message.partition()
                if message.error() is None and name is not None and partition is not None:
                    newest[name, partition] = message.timestamp()[1]
        return newest


def sample_keys(connection: Connection, topic: str, *, per_partition: int = 2_000) -> dict[bytes | None, set[int]]:
    """The keys of each partition's newest messages, and in which partitions each occurs; None is "no key".

    A sensor must live in one partition: a key (of a topic keyed by sensor_id) in several is worth a warning.
    Raises KafkaFailure.
    """
    seen: defaultdict[bytes | None, set[int]] = defaultdict(set)
    with _observer(connection) as consumer:
        for number in range(_partition_count(connection, consumer, topic)):
            place = TopicPartition(topic, number)
            low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_TIMEOUT_S)
            place.offset = max(low, high - per_partition)
            consumer.assign([place])
            for key in _keys_until_end(connection, consumer, per_partition):
                seen[key].add(number)
    return dict(seen)


def _keys_until_end(connection: Connection, consumer: Consumer, most: int) -> Iterator[bytes | None]:
    deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
    while most > 0 and time.monotonic() < deadline_s:
        for message in consumer.consume(most, _PAUSE_S / 4):
            error = message.error()
            if error is None:
                most -= 1
                yield message.key()
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise connection.failure(error)


def _partition_count(connection: Connection, consumer: Consumer, topic: str) -> int:
    # Asked of a consumer, which never makes the broker create the topic, and by name, which needs no right to the rest.
    metadata = consumer.list_topics(topic, timeout=_ANSWER_TIMEOUT_S).topics[topic]
    if metadata.error is not None:
        raise connection.failure(metadata.error, topic=topic)
    if not metadata.partitions:
        raise TopicMissing(f"topic {topic}: has no partitions yet")
    return len(metadata.partitions)


@contextmanager
def _observer(connection: Connection, *, group: str = "streamgauge-observer") -> Iterator[Consumer]:
    """A consumer that only looks. It is let go of, not closed: closing could wait for a broker that is away."""
    background: list[KafkaError] = []
    config = connection.config(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "error_cb": lambda error: background.append(error) if is_telling(error) and not background else None,
        }
    )
    with connection.explained():
        consumer = Consumer(config)
        try:
            yield consumer
        except KafkaException as error:
            # The time-out of a question hides what went wrong in the background: a refused login, broken TLS.
            consumer.poll(0)
            if background and is_away(error.args[0]):
                raise connection.failure(background[0]) from None
            raise
