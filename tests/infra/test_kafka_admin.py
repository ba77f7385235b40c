"""Topics, groups, keys; and what a wrong connection says."""

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from infra.embedded.broker import Broker
from infra.kafka.admin import create_topic, group_lag, partition_counts, partitions, sample_keys
from infra.kafka.client import Connection, KafkaFailure, TopicMissing, Unreachable
from infra.kafka.producer import Producer
from tests.kafka import KAFKA_MS, connection, fill, new_topic


def test_a_topic_is_created_once(broker: Broker) -> None:
    topic = f"{new_topic(broker)}-more"
    assert create_topic(connection(broker), topic, partitions=3)
    assert not create_topic(connection(broker), topic, partitions=5)
    assert partition_counts(connection(broker), [topic]) == {topic: 3}


def test_partitions_of_several_topics_in_order(broker: Broker) -> None:
    first, second = new_topic(broker, partitions=2), new_topic(broker)
    assert partitions(connection(broker), [first, second]) == (f"{first}/0", f"{first}/1", f"{second}/0")


def test_a_missing_topic_says_what_to_do_and_is_not_created(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with pytest.raises(TopicMissing, match=r"topic not-there: no such topic or partition at .*: create it, or"):
            partitions(connection(broker), ["not-there"], wait_s=0.5)
    assert len(caplog.records) == 2, "once per call, however often it asked"


def test_waiting_for_a_topic_ends_when_it_is_there_or_when_cancelled(broker: Broker) -> None:
    topic = f"{new_topic(broker)}-late"
    asked = []

    def create_meanwhile() -> bool:
        asked.append(True)
        create_topic(connection(broker), topic, partitions=2)
        return False

    assert partitions(connection(broker), [topic], cancelled=create_meanwhile) == (f"{topic}/0", f"{topic}/1")
    assert len(asked) == 1
    with pytest.raises(TopicMissing):
        partitions(connection(broker), ["not-there"], cancelled=lambda: True)


def test_lag_of_a_group(broker: Broker) -> None:
    topic = new_topic(broker, partitions=2)
    fill(broker, topic, 10)
    fill(broker, topic, 5, partition=1)
    with Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "enable.auto.commit": False}) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    first, second = group_lag(connection(broker), topic, [topic])
    assert (first.committed, first.low, first.high, first.messages) == (7, 0, 10, 3)
    assert (second.committed, second.low, second.high, second.messages) == (None, 0, 5, 5)


def test_a_key_in_several_partitions_is_found(broker: Broker) -> None:
    topic = new_topic(broker, partitions=2)
    with Producer(connection(broker)) as producer:
        producer.produce_many(topic, ((b"s%d" % (n % 10), b"x", KAFKA_MS) for n in range(100)))
    homes = sample_keys(connection(broker), topic)
    assert set(homes) == {b"s%d" % n for n in range(10)}
    assert all(len(home) == 1 for home in homes.values())
    fill(broker, topic, 3)  # without keys, to partition 0
    assert sample_keys(connection(broker), topic, per_partition=2)[None] == {0}


def test_nobody_there() -> None:
    nowhere = Connection(bootstrap="127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"Kafka does not answer at 127.0.0.1:9: is it running, .*Connection refused"):
        partitions(nowhere, ["topic"], wait_s=0)


def test_settings_that_do_not_exist_or_are_ours() -> None:
    with pytest.raises(KafkaFailure, match=r'kafka\.client: No such configuration property: "sasl\.user"'):
        Producer(Connection(client={"sasl.user": "x"}))
    with pytest.raises(KafkaFailure, match=r"kafka\.client: enable\.auto\.commit, group\.id: set by streamgauge"):
        Connection(client={"group.id": "x", "enable.auto.commit": True})


def test_the_users_settings_and_password_reach_librdkafka() -> None:
    login = Connection(bootstrap="kafka:9092", client={"sasl.username": "u", "linger.ms": 7}, password="secret")
    config = login.config({"linger.ms": 50, "group.id": "g"})
    assert (config["sasl.username"], config["sasl.password"], config["linger.ms"]) == ("u", "secret", 7)
    assert "broker.address.family" not in config
    assert Connection(bootstrap="localhost:9092").config({})["broker.address.family"] == "v4"
    assert "secret" not in repr(login)


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (KafkaError._TRANSPORT, Unreachable, "is it running"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicMissing, "create it, or correct its name"),
        (KafkaError._AUTHENTICATION, KafkaFailure, "check sasl"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaFailure, "grant this user Read"),
        (KafkaError._SSL, KafkaFailure, "check ssl"),
        (KafkaError.INVALID_REPLICATION_FACTOR, KafkaFailure, "INVALID_REPLICATION_FACTOR"),
    ],
)
def test_errors_say_what_to_do(code: int, kind: type[KafkaFailure], advice: str) -> None:
    failure = Connection(bootstrap="kafka:9092").failure(KafkaError(code), topic="t")
    assert type(failure) is kind
    assert str(failure).startswith("topic t: ")
    assert advice in str(failure)
    assert "kafka:9092" in str(failure)
