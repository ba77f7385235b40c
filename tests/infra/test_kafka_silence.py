"""What was not heard is not taken for silence: a connection that carries nothing, a process that was stopped."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection as Pipe

import pytest
from confluent_kafka import Producer

from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from infra.kafka.partition import KafkaPartition
from infra.kafka.source import KafkaSource
from tests.infra.intakes import Seen
from tests.kafka import eventually, fill, new_topic
from tests.recovery.proxy import Proxy, Weather

LIKE_KAFKA = Weather(delay_s=0.01)
"""Answers do not come at once, so that the source does not rest between them as it does with the embedded broker."""

BEFORE, AFTER = 10, 5
"""Messages before a disturbance and during it."""


class Listener:
    """A partition, and what it said: how many messages it has read, and "idle"."""

    def __init__(self, port: int, topic: str, *, idle_after_ms: int) -> None:
        self._seen = Seen()
        name = f"{topic}/0"
        source = KafkaSource(
            Connection(bootstrap=f"127.0.0.1:{port}"), (name,), self._seen.make, idle_after_ms=idle_after_ms
        )
        self.part: KafkaPartition = source.build_part("step", name, None)
        self.said: list[int | str] = []

    def step(self) -> None:
        self.said += ["idle" if batch.idle else self._seen.count() for batch in self.part.next_batch()]

    def until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            self.step()
            return condition()

        assert eventually(holds), self.said

    @property
    def caught_up(self) -> bool:
        return self.part._caught_up and BEFORE in self.said


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy(int(broker.bootstrap.rpartition(":")[2]), kafka=True) as running:
        running.set(LIKE_KAFKA)
        yield running


def test_a_connection_that_carried_nothing_made_no_partition_idle(
    broker: Broker, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(broker)
    fill(broker, topic, BEFORE)
    listener = Listener(proxy.port, topic, idle_after_ms=500)
    listener.until(lambda: listener.caught_up)
    proxy.set(Weather(silent=True))
    fill(broker, topic, AFTER, first=BEFORE)
    listener.until(lambda: "idle" in listener.said or "Kafka does not answer" in caplog.text)
    proxy.set(LIKE_KAFKA)
    listener.until(lambda: listener.said[-1] == BEFORE + AFTER)
    assert "idle" not in listener.said
    assert "Kafka is back after" in caplog.text
    listener.until(lambda: listener.said[-1] == "idle")
    listener.part.close()


def test_a_process_that_was_stopped_makes_no_partition_idle(broker: Broker, proxy: Proxy) -> None:
    topic = new_topic(broker)
    fill(broker, topic, BEFORE)
    idle_after_ms = 1_000
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_listen, args=(proxy.port, topic, idle_after_ms, theirs), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        said = [ours.recv()]
        while said[-1] != "caught up":
            said.append(ours.recv())
        os.kill(process.pid, signal.SIGSTOP)
        fill(broker, topic, AFTER, first=BEFORE)
        time.sleep(1.5 * idle_after_ms / 1000)  # it is the passing of time that must not count
        os.kill(process.pid, signal.SIGCONT)
        while said[-1] != "idle":
            said.append(ours.recv())
        assert said == [BEFORE, "caught up", BEFORE + AFTER, "idle"]
    finally:
        process.kill()
        process.join()


def _listen(port: int, topic: str, idle_after_ms: int, pipe: Pipe) -> None:
    """Tell what a partition says until it is idle."""
    listener = Listener(port, topic, idle_after_ms=idle_after_ms)
    listener.until(lambda: listener.caught_up)
    pipe.send(listener.said.pop())
    pipe.send("caught up")
    while listener.said != ["idle"]:
        listener.step()
        for word in listener.said:
            pipe.send(word)
        listener.said = listener.said[-1:]
        if listener.said != ["idle"]:
            listener.said = []
        time.sleep(0.01)


def test_what_transactions_leave_at_the_end_does_not_keep_a_partition_from_being_idle(
    broker: Broker, proxy: Proxy
) -> None:
    topic = new_topic(broker)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(10)
    producer.begin_transaction()
    for number in range(BEFORE):
        producer.produce(topic, b"%d" % number)
    producer.commit_transaction(10)
    listener = Listener(proxy.port, topic, idle_after_ms=100)
    listener.until(lambda: listener.said[-2:] == [BEFORE, "idle"])
    listener.part.close()


def test_a_partition_that_rests_while_its_connection_carries_nothing_is_read_on(
    broker: Broker, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.set(Weather())  # the embedded broker answers at once, so the source rests between two looks
    topic = new_topic(broker)
    fill(broker, topic, BEFORE)
    listener = Listener(proxy.port, topic, idle_after_ms=0)
    listener.until(lambda: listener.part._resting and BEFORE in listener.said)
    proxy.set(Weather(silent=True))
    listener.until(lambda: "Kafka does not answer" in caplog.text)
    proxy.set(Weather())
    proxy.cut()
    fill(broker, topic, AFTER, first=BEFORE)
    listener.until(lambda: listener.said[-1] == BEFORE + AFTER)
    listener.part.close()
