"""Following a topic: each message at least once, also after a failure, also in partitions that are added."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from infra.embedded.broker import Broker
from infra.kafka import follow as module
from infra.kafka.follow import follow
from tests.kafka import connection, eventually, fill, new_topic


class Reader:
    """Follows in a thread."""

    def __init__(self, broker: Broker, topic: str, *, fails: bool = False) -> None:
        self.values: list[int] = []
        self._stop, self._fails = threading.Event(), fails
        self._thread = threading.Thread(target=self._run, args=(broker, topic), daemon=True)
        self._thread.start()

    def _run(self, broker: Broker, topic: str) -> None:
        with suppress(ZeroDivisionError):
            follow(connection(broker), topic, group=topic, take=self._take, stopped=self._stop.is_set)

    def _take(self, values: Sequence[bytes]) -> None:
        self.values += map(int, values)
        if self._fails:
            raise ZeroDivisionError

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_what_was_not_dealt_with_comes_again_and_added_partitions_are_read(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.1)
    topic = new_topic(broker)
    fill(broker, topic, 3)
    failing = Reader(broker, topic, fails=True)
    assert eventually(lambda: failing.values == [0, 1, 2])
    failing.stop()
    reader = Reader(broker, topic)
    assert eventually(lambda: reader.values == [0, 1, 2])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    fill(broker, topic, 2, partition=1, first=10)
    fill(broker, topic, 1, first=3)
    assert eventually(lambda: sorted(reader.values) == [0, 1, 2, 3, 10, 11])
    reader.stop()
    again = Reader(broker, topic)
    fill(broker, topic, 1, partition=1, first=12)
    assert eventually(lambda: again.values == [12])
    again.stop()


def test_a_broker_that_answers_every_fetch_at_once_is_asked_only_for_what_is_new(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.1)
    calm = threading.Event()
    followed = module._follow_without_haste

    def told(*given: Any, **more: Any) -> None:
        calm.set()
        followed(*given, **more)

    monkeypatch.setattr(module, "_follow_without_haste", told)
    topic = new_topic(broker)
    fill(broker, topic, 3)
    reader = Reader(broker, topic)
    assert eventually(lambda: reader.values == [0, 1, 2])
    assert calm.wait(20)
    fill(broker, topic, 2, first=3)
    assert eventually(lambda: reader.values == [0, 1, 2, 3, 4])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    fill(broker, topic, 1, partition=1, first=10)
    assert eventually(lambda: reader.values == [0, 1, 2, 3, 4, 10])
    reader.stop()
