"""A producer that tells of each message when Kafka has it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.kafka.delivery import ReportingProducer
from tests.kafka import connection, eventually, new_topic, payloads, read


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, to be stopped."""
    with Broker(tmp_path / "broker") as running:
        yield running


def sent(producer: ReportingProducer, count: int) -> list[int]:
    """Send the numbers up to count; takes those that are reported."""
    reported: list[int] = []
    for number in range(count):
        assert producer.send(b"k", b"%d" % number, lambda number=number: reported.append(number)) == ""  # type: ignore[misc]
    return reported


def served(producer: ReportingProducer, reported: list[int], count: int) -> bool:
    producer.serve(0.05)
    return len(reported) == count


def test_each_message_is_reported_when_it_is_there(broker: Broker) -> None:
    topic = new_topic(broker)
    producer = ReportingProducer(connection(broker), topic)
    reported = sent(producer, 1_000)
    assert reported == [], "not before it is asked"
    assert eventually(lambda: served(producer, reported, 1_000))
    assert reported == payloads(read(broker.bootstrap, topic)) == list(range(1_000))
    producer.close()


def test_what_is_too_large_is_told_at_once(broker: Broker) -> None:
    producer = ReportingProducer(connection(broker), new_topic(broker))
    why = producer.send(b"k", b"x" * 1_100_000, lambda: pytest.fail("it cannot be delivered"))
    assert why.startswith("1100000 bytes are more than Kafka takes")
    producer.close()


def test_while_kafka_is_away_messages_wait(mortal: Broker, caplog: pytest.LogCaptureFixture) -> None:
    topic = new_topic(mortal)
    producer = ReportingProducer(connection(mortal), topic)
    mortal.stop()
    reported = sent(producer, 100)
    assert eventually(lambda: not served(producer, reported, 100) and producer.waits)
    assert reported == []
    mortal.start()
    assert eventually(lambda: served(producer, reported, 100))
    assert not producer.waits
    producer.close()
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2
    assert "Kafka does not answer at" in said[0]
    assert "Kafka is back after" in said[1]
