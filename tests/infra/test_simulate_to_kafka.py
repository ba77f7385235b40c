"""Simulator and replay into a real broker: every message arrives, in order per sensor, with its event time."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import confluent_kafka
import pytest

from infra.embedded.broker import Broker
from infra.kafka.admin import create_topic
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate import runner
from infra.simulate.config import SimulationConfig
from infra.simulate.replay import Replay, replay
from infra.simulate.simulation import Message, Simulation

START_MS = 1_790_000_000_000
PARTITIONS = 3
KEEP = {"retention.ms": "-1"}
"""A broker deletes by time stamp: these are old."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with Broker(tmp_path_factory.mktemp("broker")) as broker:
        yield Connection(bootstrap=broker.bootstrap)


def consumed(connection: Connection, topic: str) -> list[list[Message]]:
    """Everything in a topic, by partition."""
    config = {"group.id": "test", "enable.partition.eof": True, "enable.auto.commit": False}
    with closing(confluent_kafka.Consumer(connection.config(config))) as consumer:
        first = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition(topic, p, first) for p in range(PARTITIONS)])
        found: list[list[Message]] = [[] for _ in range(PARTITIONS)]
        ended = 0
        while ended < PARTITIONS:
            message = consumer.poll(30)
            assert message is not None, "the broker fell silent"
            if error := message.error():
                assert error.code() == confluent_kafka.KafkaError._PARTITION_EOF, error
                ended += 1
                continue
            partition, key, value = message.partition(), message.key(), message.value()
            assert partition is not None
            assert key is not None
            assert value is not None
            found[partition].append((key, value, message.timestamp()[1]))
        return found


def by_key(messages: list[Message]) -> dict[bytes, list[Message]]:
    keyed = defaultdict(list)
    for message in messages:
        keyed[message[0]].append(message)
    return keyed


def assert_arrived(partitions: list[list[Message]], sent: list[Message]) -> None:
    """All of `sent`, each sensor in one partition and in order."""
    assert sum(map(len, partitions)) == len(sent)
    arrived: dict[bytes, list[Message]] = {}
    for messages in partitions:
        keyed = by_key(messages)
        assert not keyed.keys() & arrived.keys(), "a sensor in two partitions"
        arrived |= keyed
    assert arrived == by_key(sent)


def test_history_and_live_arrive(connection: Connection) -> None:
    create_topic(connection, "simulated", partitions=PARTITIONS, config=KEEP)
    simulation = Simulation(SimulationConfig(rate=2_000.0, disorder=0.1, bad_share=0.05))
    middle, end = START_MS + 10_000, START_MS + 12_000
    with Producer(connection) as producer:
        sent = runner.history(simulation, producer, topic="simulated", from_ms=START_MS, to_ms=middle)
        sent += runner.live(simulation, producer, topic="simulated", from_ms=middle, until_ms=end, stop=Event())
    wanted = simulation.batch(START_MS, end)
    assert sent == len(wanted) > 20_000
    assert_arrived(consumed(connection, "simulated"), wanted)


def test_a_replay_arrives(connection: Connection, tmp_path: Path) -> None:
    create_topic(connection, "replayed", partitions=PARTITIONS, config=KEEP)
    for name in "abcde":
        rows = (f"2014-07-{day:02d} 00:0{ord(name) % 7}:00,{day},{-day}\n" for day in range(1, 31))
        (tmp_path / f"{name}.csv").write_text("time,x,y\n" + "".join(rows))
    source = Replay(sorted(tmp_path.glob("*.csv")))
    with Producer(connection) as producer:
        files = replay(source, producer, topic="replayed", stop=Event())
    assert [f.readings for f in files] == [60] * 5
    assert_arrived(consumed(connection, "replayed"), list(source.messages()))
