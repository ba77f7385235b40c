"""Topics for tests: made, filled, read."""

import time
import uuid
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka import Producer as RawProducer

from infra.embedded.broker import Broker
from infra.kafka.admin import create_topic
from infra.kafka.client import Connection

KAFKA_MS = 1_700_000_000_000
"""Kafka time stamp of the first message `fill` writes; the others follow by a millisecond."""


def connection(broker: Broker) -> Connection:
    """How to reach the broker."""
    return Connection(bootstrap=broker.bootstrap)


def new_topic(broker: Broker, *, partitions: int = 1) -> str:
    """A topic nobody else uses, whose messages are not deleted however old their stamps are."""
    topic = f"test-{uuid.uuid4().hex}"
    create_topic(connection(broker), topic, partitions=partitions, config={"retention.ms": "-1"})
    return topic


def fill(broker: Broker, topic: str, count: int, *, partition: int = 0, first: int = 0) -> None:
    """Write the messages b"first" ... b"first+count-1" to a partition; returns when they are acknowledged."""
    producer = RawProducer({"bootstrap.servers": broker.bootstrap, "batch.num.messages": 1_000, "log_level": 2})
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, partition=partition, timestamp=KAFKA_MS + number)
    assert producer.flush(20) == 0


def read(bootstrap: str, topic: str, *, partition: int = 0, first: int = 0) -> list[Message]:
    """All messages of a partition from an offset to its end."""
    with Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    ) as consumer:
        consumer.assign([TopicPartition(topic, partition, first)])
        messages: list[Message] = []
        while True:
            for message in consumer.consume(10_000, 0.02):
                error = message.error()
                if error is None:
                    messages.append(message)
                    continue
                assert error.code() == KafkaError._PARTITION_EOF, error
                return messages


def payloads(messages: Sequence[Message]) -> list[int]:
    """The numbers `fill` wrote."""
    return [int(message.value() or b"-1") for message in messages]


def eventually(condition: Callable[[], bool], *, within_s: float = 20.0, every_s: float = 0.02) -> bool:
    """Wait until it holds; False when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
