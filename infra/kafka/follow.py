"""Following a topic: messages are given out, and committed once they are dealt with."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from infra.kafka.admin import partition_counts, partitions
from infra.kafka.client import Connection, KafkaFailure, TopicMissing, Unreachable, is_refusal
from infra.kafka.haste import Haste
from infra.kafka.outage import Outage
from infra.kafka.tail import Tail

_MOST = 500
_WAIT_S = 0.2
_LOOK_EVERY_S = 30.0
"""How often partitions that were added are looked for."""
_PAUSE_S = 0.5


def follow(
    connection: Connection,
    topic: str,
    *,
    group: str,
    take: Callable[[Sequence[bytes]], None],
    stopped: Callable[[], bool],
) -> None:
    """Until stopped: hand the values of new messages to `take`, and commit when it returns: each at least once.

    A group that is new begins with all there is. It is not joined, only its offsets are used, so that one that was
    killed goes on at once. While Kafka or the topic is away it waits, which is said once. Raises KafkaFailure when
    waiting is of no use.
    """
    try:
        known = len(partitions(connection, [topic], wait_s=math.inf, cancelled=stopped))
    except (TopicMissing, Unreachable):
        return  # stopped meanwhile
    outage, looked_s, haste = Outage(), time.monotonic(), Haste()
    settings = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", **haste.settings}
    with connection.explained():
        consumer = Consumer(connection.config(settings))
        consumer.assign([TopicPartition(topic, number) for number in range(known)])
    try:
        while not (stopped() or haste.found):
            values = []
            first = consumer.poll(_WAIT_S)  # consume() would wait for more
            for message in [] if first is None else [first, *consumer.consume(_MOST, 0)]:
                error = message.error()
                if error is None:
                    values.append(message.value() or b"")
                elif is_refusal(error):
                    raise connection.failure(error, topic=topic)
                elif error.code() == KafkaError._ALL_BROKERS_DOWN:
                    outage.begin("alerts", connection.failure(error, topic=topic))
            if values:
                outage.end("alerts")
                take(values)
                _commit(consumer)
            if time.monotonic() - looked_s > _LOOK_EVERY_S:
                looked_s = time.monotonic()
                known = _look(connection, consumer, topic, known)
    finally:
        consumer.close()
    while not stopped():
        try:
            _follow_without_haste(connection, topic, outage, group=group, take=take, stopped=stopped)
        except (TopicMissing, Unreachable) as problem:
            outage.begin("alerts", problem)
            time.sleep(_PAUSE_S)


def _follow_without_haste(
    connection: Connection,
    topic: str,
    outage: Outage,
    *,
    group: str,
    take: Callable[[Sequence[bytes]], None],
    stopped: Callable[[], bool],
) -> None:
    """Until stopped, or until there are more partitions."""
    tail = Tail(connection, [topic], group=group, stopped=stopped)
    outage.end("alerts")
    try:
        looked_s = time.monotonic()
        while not stopped():
            if told := tail.read(most=_MOST, within_s=_WAIT_S):
                take([one.value for one in told])
                tail.commit()
            if time.monotonic() - looked_s > _LOOK_EVERY_S:
                looked_s = time.monotonic()
                with suppress(KafkaFailure):  # it is asked again
                    if partition_counts(connection, [topic])[topic] > len(tail.places):
                        return
    finally:
        tail.close()


def _commit(consumer: Consumer) -> None:
    """What is not committed comes again, and is known."""
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if is_refusal(error.args[0]):
            raise


def _look(connection: Connection, consumer: Consumer, topic: str, known: int) -> int:
    """How many partitions there are now; those that are new are read, too."""
    try:
        found = partition_counts(connection, [topic])[topic]
    except KafkaFailure:
        return known
    if found > known:
        consumer.incremental_assign([TopicPartition(topic, number) for number in range(known, found)])
    return max(found, known)
