"""The producer that never waits, and where keys belong."""

from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from infra.kafka.deliveries import Deliveries
from infra.kafka.partitioner import murmur2, partition_of
from infra.kafka.producer import Producer
from tests.kafka import connection, eventually, new_topic, payloads, read
from tests.recovery.proxy import Proxy, Weather


def deliveries(broker: Broker, topic: str, *, max_bytes: int = 1_000_000) -> Deliveries:
    return Deliveries(connection(broker), topic, max_bytes=max_bytes, max_message_bytes=1_000_000)


def settled(outlet: Deliveries) -> bool:
    def served() -> bool:
        outlet.serve()
        return not outlet.waiting

    return eventually(served)


def test_keys_belong_where_java_clients_put_them() -> None:
    # Kafka's own tests of Utils.murmur2.
    for key, signed in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        assert murmur2(key) == signed % 2**32


def test_keys_belong_where_librdkafka_puts_them(broker: Broker) -> None:
    topic = new_topic(broker, partitions=7)
    keys = [f"sensor-{i}" * (i % 4 + 1) for i in range(200)] + ["a", "ab", "abc", "é°"]
    with Producer(connection(broker)) as producer:
        producer.produce_many(topic, [(key.encode(), b"", 1_700_000_000_000) for key in keys])
    found = {
        (message.key() or b"").decode(): partition
        for partition in range(7)
        for message in read(broker.bootstrap, topic, partition=partition)
    }
    assert found == {key: partition_of(key.encode(), 7) for key in keys}


@given(st.binary(min_size=1), st.integers(min_value=1, max_value=1_000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_what_is_offered_together_is_told_of_once_in_order(broker: Broker) -> None:
    topic = new_topic(broker)
    outlet = deliveries(broker, topic)
    told: list[list[int]] = [[] for _ in range(50)]
    for number in range(50):
        messages = [(0, b"", b"%d" % (number * 10 + i)) for i in range(10)]
        assert outlet.offer(messages, 1_700_000_000_000, told[number].append)
    assert settled(outlet)
    assert told == [[0]] * 50
    assert payloads(read(broker.bootstrap, topic)) == list(range(500))
    assert (outlet.waiting_bytes, outlet.stalled_s, outlet.failed) == (0, 0.0, 0)
    outlet.close()


def test_all_or_nothing_is_taken_and_one_offer_always_fits(broker: Broker) -> None:
    with Proxy(int(broker.bootstrap.rpartition(":")[2]), kafka=True) as proxy:
        topic = new_topic(broker)
        proxy.set(Weather(silent=True))
        behind = Connection(bootstrap=f"127.0.0.1:{proxy.port}")
        outlet = Deliveries(behind, topic, max_bytes=1_000, max_message_bytes=1_000_000)
        large = [(0, b"", b"%d" % i) for i in range(20)]
        assert outlet.offer(large, 1_700_000_000_000), "an empty queue takes anything"
        assert not outlet.offer([(0, b"", b"20"), (0, b"", b"21")], 1_700_000_000_000)
        assert outlet.flush(timeout_s=0.2) == 20
        assert outlet.stalled_s > 0
        proxy.set(Weather())
        assert outlet.flush(timeout_s=60) == 0
        outlet.close()
    assert payloads(read(broker.bootstrap, topic)) == list(range(20))


def test_what_kafka_refuses_is_told(broker: Broker) -> None:
    outlet = deliveries(broker, new_topic(broker, partitions=1))
    told: list[int] = []
    assert outlet.offer([(0, b"", b"good"), (99, b"", b"nowhere")], 1_700_000_000_000, told.append)
    assert settled(outlet)
    assert (told, outlet.failed) == ([1], 1)
    outlet.close()
