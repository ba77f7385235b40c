"""The proxy stands in for the broker: clients come back to it, and it can be a bad connection."""

import gc
import socket

import pytest

from infra.embedded.broker import Broker
from infra.kafka.admin import partition_counts
from infra.kafka.client import Connection, Unreachable
from tests.kafka import eventually, fill, new_topic, payloads, read
from tests.recovery.proxy import Proxy, Weather


def test_clients_come_to_the_proxy_and_what_they_read_comes_through_it(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 500)
    port = int(broker.bootstrap.rpartition(":")[2])
    with Proxy(port, kafka=True) as proxy:
        assert payloads(read(f"127.0.0.1:{proxy.port}", topic)) == list(range(500))
        proxy.set(Weather(delay_s=0.02, bytes_per_s=1_000_000))
        assert payloads(read(f"127.0.0.1:{proxy.port}", topic)) == list(range(500))


@pytest.mark.parametrize("weather", [Weather(refuses=True), Weather(silent=True)])
def test_a_connection_that_is_gone_is_noticed_and_comes_back(broker: Broker, weather: Weather) -> None:
    topic = new_topic(broker)
    port = int(broker.bootstrap.rpartition(":")[2])
    with Proxy(port, kafka=True) as proxy:
        through = Connection(bootstrap=f"127.0.0.1:{proxy.port}", client={"socket.timeout.ms": 1_000})
        proxy.set(weather)

        def answers() -> bool:
            try:
                return partition_counts(through, [topic]) == {topic: 1}
            except Unreachable:
                return False

        assert not answers()
        proxy.set(Weather())
        proxy.cut()
        assert eventually(answers)


def test_a_proxy_that_ends_while_it_is_dialled_leaves_no_connection_open(broker: Broker) -> None:
    port = int(broker.bootstrap.rpartition(":")[2])
    for _ in range(5):
        with Proxy(port) as proxy:
            dialled = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(50)]
        for one in dialled:
            one.close()
    gc.collect()  # what was left open is warned of now, and warnings are errors
