"""The producer: everything arrives, in order per key, and what does not is said."""

import pytest

from infra.embedded.broker import Broker
from infra.kafka.client import Connection, DeliveryFailed
from infra.kafka.producer import Producer
from tests.kafka import KAFKA_MS, connection, new_topic, payloads, read


def test_delivers_in_order_with_keys_and_stamps(broker: Broker) -> None:
    topic = new_topic(broker)
    with Producer(connection(broker)) as producer:
        producer.produce(topic, b"first", b"0", KAFKA_MS)
        producer.produce_many(topic, ((b"k%d" % n, b"%d" % n, KAFKA_MS + n) for n in range(1, 5_000)))
        assert producer.flush() == producer.delivered == 5_000
    messages = read(broker.bootstrap, topic)
    assert payloads(messages) == list(range(5_000))
    assert [messages[0].key(), messages[7].key()] == [b"first", b"k7"]
    assert [message.timestamp()[1] for message in messages] == list(range(KAFKA_MS, KAFKA_MS + 5_000))


def test_leaving_the_block_delivers(broker: Broker) -> None:
    topic = new_topic(broker)
    with Producer(connection(broker)) as producer:
        producer.produce(topic, b"k", b"1", KAFKA_MS)
    assert payloads(read(broker.bootstrap, topic)) == [1]


def test_a_full_queue_waits_and_loses_nothing(broker: Broker) -> None:
    topic = new_topic(broker)
    small = Connection(bootstrap=broker.bootstrap, client={"queue.buffering.max.messages": 100, "linger.ms": 0})
    with Producer(small) as producer:
        producer.produce_many(topic, ((b"k", b"%d" % n, KAFKA_MS) for n in range(2_000)))
        assert producer.flush() == 2_000
    assert payloads(read(broker.bootstrap, topic)) == list(range(2_000))


def test_one_key_goes_where_java_clients_send_it(broker: Broker) -> None:
    topic = new_topic(broker, partitions=10)
    with Producer(connection(broker)) as producer:
        producer.produce(topic, b"foobar", b"1", KAFKA_MS)
    # Kafka's own test: Utils.murmur2("foobar") == -790332482.
    home = (-790332482 & 0x7FFFFFFF) % 10
    assert payloads(read(broker.bootstrap, topic, partition=home)) == [1]


def test_a_message_too_large_is_said_and_the_rest_delivered(broker: Broker) -> None:
    topic = new_topic(broker)
    with Producer(connection(broker)) as producer:
        producer.produce(topic, b"k", b"1", KAFKA_MS)
        with pytest.raises(DeliveryFailed, match="a message of 2000000 bytes is larger than Kafka takes: split it"):
            producer.produce(topic, b"k", b"x" * 2_000_000, KAFKA_MS)
        producer.produce(topic, b"k", b"2", KAFKA_MS)
        assert producer.flush() == 2
    assert payloads(read(broker.bootstrap, topic)) == [1, 2]


def test_failed_deliveries_are_counted_and_raised() -> None:
    nowhere = Connection(bootstrap="127.0.0.1:9", client={"delivery.timeout.ms": 100})
    producer = Producer(nowhere)
    producer.produce_many("topic", ((b"k", b"%d" % n, KAFKA_MS) for n in range(3)))
    with pytest.raises(DeliveryFailed, match=r"messages not delivered: 3\. Kafka does not answer at 127\.0\.0\.1:9"):
        producer.flush()
    assert producer.delivered == 0
    with pytest.raises(DeliveryFailed):
        producer.flush()
    producer.close()
