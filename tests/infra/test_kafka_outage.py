"""Brokers that go away: the source waits, says so once, and loses nothing."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.kafka.client import Connection, DeliveryFailed, KafkaFailure, Unreachable
from infra.kafka.producer import Producer
from infra.kafka.source import KafkaSource
from operators.intake import IntakeBatch
from tests.infra.intakes import Seen
from tests.kafka import connection, eventually, fill, new_topic, payloads, read

SAYS_AWAY, SAYS_BACK = "Kafka does not answer at", "Kafka is back after"


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, to be killed."""
    with Broker(tmp_path / "broker") as running:
        yield running


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_broker_killed_and_started_again_in_mid_stream_loses_nothing(
    mortal: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(mortal, partitions=3)
    for partition in range(3):
        fill(mortal, topic, 30_000, partition=partition)
    mortal.stop()  # what it has acknowledged is on disk
    mortal.start()
    names = tuple(f"{topic}/{partition}" for partition in range(3))
    seen = Seen()
    source = KafkaSource(connection(mortal), names, seen.make, idle_after_ms=200)
    parts = [source.build_part("step", name, None) for name in names]
    idle: list[IntakeBatch] = []

    def read_on() -> int:
        for part in parts:
            idle.extend(batch for batch in part.next_batch() if batch.idle)
        return seen.count()

    assert eventually(lambda: read_on() >= 1)
    mortal.kill()
    assert eventually(lambda: read_on() < 0 or bool(warnings(caplog)))
    idle.clear()
    mortal.start()
    for partition in range(3):
        fill(mortal, topic, 10, partition=partition, first=30_000)
    assert eventually(lambda: read_on() == 90_030)
    for name in names:
        assert seen.numbers(name) == list(range(30_010))
    served = set(names)
    assert eventually(lambda: read_on() > 0 and {batch.source for batch in idle} == served), "and can be idle again"
    for part in parts:
        part.close()
    said = warnings(caplog)
    assert len(said) == 2, said
    assert SAYS_AWAY in said[0]
    assert SAYS_BACK in said[1]


def test_a_partition_with_nothing_new_is_idle_again_after_an_outage(mortal: Broker) -> None:
    topic = new_topic(mortal)
    fill(mortal, topic, 10)
    mortal.stop()
    mortal.start()
    seen = Seen()
    source = KafkaSource(connection(mortal), (f"{topic}/0",), seen.make, idle_after_ms=1_000)
    part = source.build_part("step", f"{topic}/0", None)
    idle: list[IntakeBatch] = []

    def read_on() -> int:
        idle.extend(batch for batch in part.next_batch() if batch.idle)
        return seen.count()

    assert eventually(lambda: read_on() == 10)
    mortal.kill()
    assert idle == []
    mortal.start()
    assert eventually(lambda: read_on() > 0 and len(idle) == 1)
    part.close()


def test_a_broker_absent_at_the_start_is_waited_for(mortal: Broker, caplog: pytest.LogCaptureFixture) -> None:
    topic = new_topic(mortal)
    fill(mortal, topic, 10)
    mortal.stop()
    seen = Seen()
    source = KafkaSource(connection(mortal), (f"{topic}/0",), seen.make, stop_at_end=True)
    part = source.build_part("step", f"{topic}/0", None)
    assert eventually(lambda: part.next_batch() != [] or bool(warnings(caplog)))
    mortal.start()
    assert eventually(lambda: part.next_batch() != [])
    assert seen.numbers(f"{topic}/0") == list(range(10))
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
    assert [SAYS_AWAY in warnings(caplog)[0], SAYS_BACK in warnings(caplog)[-1]] == [True, True]


def test_closing_does_not_wait_for_a_broker_that_is_away(mortal: Broker) -> None:
    topic = new_topic(mortal)
    fill(mortal, topic, 10)
    seen = Seen()
    part = KafkaSource(connection(mortal), (f"{topic}/0",), seen.make).build_part("step", f"{topic}/0", None)
    assert eventually(lambda: part.next_batch() != [])
    part.snapshot()
    mortal.kill()
    part.close()  # would hang until the test run's own limit


def test_a_refused_login_is_an_error_and_not_an_outage(mortal: Broker) -> None:
    topic = new_topic(mortal)
    # The embedded broker knows no users, so this handshake cannot end well.
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "u"}
    stranger = Connection(bootstrap=mortal.bootstrap, client=login, password="secret")
    part = KafkaSource(stranger, (f"{topic}/0",), Seen().make).build_part("step", f"{topic}/0", None)
    with pytest.raises(KafkaFailure, match=r"refuses: .*check sasl\.\*") as caught:
        eventually(lambda: part.next_batch() != [])
    assert not isinstance(caught.value, Unreachable)
    assert "secret" not in str(caught.value)
    part.close()


def test_a_producer_waits_for_a_broker_that_is_away(mortal: Broker, caplog: pytest.LogCaptureFixture) -> None:
    topic = new_topic(mortal)
    producer = Producer(connection(mortal))
    mortal.stop()
    for number in range(2_000):
        producer.produce(topic, b"k", b"%d" % number, 1_700_000_000_000)
    with pytest.raises(DeliveryFailed, match=r"not delivered .* within 0.5 s: 2000\. Is it running\?"):
        producer.flush(timeout_s=0.5)
    assert producer.delivered == 0
    mortal.start()
    left: list[int] = []
    assert producer.flush(on_progress=left.append) == 2_000
    producer.close()
    assert payloads(read(mortal.bootstrap, topic)) == list(range(2_000))
    assert [SAYS_AWAY in warnings(caplog)[0], SAYS_BACK in warnings(caplog)[-1]] == [True, True]
