"""What streamgauge needs of its embedded broker, spoken with the client it uses; a successor has to pass this."""

import shutil
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from infra.embedded.broker import Broker
from infra.embedded.process import ChildFailed
from tests.kafka import KAFKA_MS, connection, eventually, fill, new_topic, payloads, read
from tests.processes import ends

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def client(broker: Broker, **settings: object) -> dict[str, object]:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return {"bootstrap.servers": broker.bootstrap, "log_level": 2, "group.id": "contract", **named}


def consumer_of(broker: Broker, group: str) -> Consumer:
    return Consumer(client(broker, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False))


def watermarks(broker: Broker, topic: str, partition: int = 0) -> tuple[int, int]:
    with consumer_of(broker, "contract") as consumer:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)


def test_listens_on_loopback_only_and_names_its_port(broker: Broker) -> None:
    host, _, port = broker.bootstrap.partition(":")
    assert host == "127.0.0.1"
    assert 0 < int(port) < 65536
    metadata = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10)
    assert [f"{server.host}:{server.port}" for server in metadata.brokers.values()] == [broker.bootstrap]


def test_creates_a_topic_with_its_partitions_and_refuses_it_twice(broker: Broker) -> None:
    topic = new_topic(broker, partitions=3)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert set(admin.list_topics(timeout=10).topics[topic].partitions) == {0, 1, 2}
    with pytest.raises(KafkaException) as caught:
        admin.create_topics([NewTopic(topic, 3, -1)])[topic].result()
    assert caught.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS


def test_adds_partitions(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 5)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    fill(broker, topic, 3, partition=1)
    assert watermarks(broker, topic, 0) == (0, 5)
    assert watermarks(broker, topic, 1) == (0, 3)


@pytest.mark.parametrize("codec", CODECS)
def test_gives_back_what_it_took(broker: Broker, codec: str) -> None:
    topic = new_topic(broker)
    values = [b"", None, *(b"x" * n for n in range(300))]
    sent = [(b"k%d" % n, value, KAFKA_MS + n) for n, value in enumerate(values)]
    producer = Producer(client(broker, enable_idempotence=True, compression_type=codec, linger_ms=5))
    for key, value, stamp in sent:
        producer.produce(topic, value, key, timestamp=stamp)
    assert producer.flush(10) == 0
    messages = read(broker.bootstrap, topic)
    assert [(m.key(), m.value(), m.timestamp()[1]) for m in messages] == sent
    assert [m.offset() for m in messages] == list(range(len(sent)))


def test_one_key_lives_in_one_partition_and_keeps_its_order(broker: Broker) -> None:
    topic = new_topic(broker, partitions=4)
    producer = Producer(client(broker, partitioner="murmur2_random", linger_ms=5))
    for number in range(400):
        producer.produce(topic, b"%d" % number, b"sensor-%d" % (number % 20))
    assert producer.flush(10) == 0
    homes: dict[bytes, list[tuple[int, int]]] = {}
    for partition in range(4):
        for message in read(broker.bootstrap, topic, partition=partition):
            homes.setdefault(message.key() or b"", []).append((partition, int(message.value() or b"")))
    assert len(homes) == 20
    for seen in homes.values():
        assert len({partition for partition, _ in seen}) == 1
        assert [number for _, number in seen] == sorted(number for _, number in seen)


def test_reads_from_any_offset_and_tells_the_end(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    assert watermarks(broker, topic) == (0, 100)
    assert payloads(read(broker.bootstrap, topic, first=97)) == [97, 98, 99]
    assert read(broker.bootstrap, topic, first=100) == []


def test_an_offset_it_does_not_hold_is_an_error(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with Consumer(client(broker, auto_offset_reset="error")) as consumer:
        consumer.assign([TopicPartition(topic, 0, 50)])
        message = consumer.poll(10)
        assert message is not None
        error = message.error()
        assert error is not None
        assert error.code() == KafkaError._AUTO_OFFSET_RESET


def test_finds_offsets_by_time(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    with consumer_of(broker, "contract") as consumer:
        for stamp, offset in ((KAFKA_MS - 1, 0), (KAFKA_MS + 42, 42), (KAFKA_MS + 99, 99)):
            [found] = consumer.offsets_for_times([TopicPartition(topic, 0, stamp)], timeout=10)
            assert found.offset == offset
        [found] = consumer.offsets_for_times([TopicPartition(topic, 0, KAFKA_MS + 100)], timeout=10)
        assert found.offset < 0, "no such message: the end"


def test_a_group_shares_partitions_and_its_offsets_show_lag(broker: Broker) -> None:
    topic = new_topic(broker, partitions=2)
    fill(broker, topic, 10, partition=0)
    fill(broker, topic, 10, partition=1)
    with consumer_of(broker, f"group-{topic}") as consumer:
        consumer.subscribe([topic])
        seen = 0
        while seen < 20:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            seen += 1
        consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    with consumer_of(broker, f"group-{topic}") as consumer:
        places = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
        assert [place.offset for place in places] == [7, -1001]


def test_refuses_a_message_over_a_megabyte_and_takes_the_next(broker: Broker) -> None:
    topic = new_topic(broker)
    errors: list[KafkaError | None] = []
    producer = Producer(client(broker, message_max_bytes=10_000_000))
    producer.produce(topic, b"x" * 5_000_000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    assert [error.code() for error in errors if error is not None] == [KafkaError.MSG_SIZE_TOO_LARGE]
    producer.produce(topic, b"x" * 900_000)
    assert producer.flush(10) == 0
    assert [len(message.value() or b"") for message in read(broker.bootstrap, topic)] == [900_000]


def test_keeps_no_more_than_retention_bytes(broker: Broker) -> None:
    topic = f"{new_topic(broker)}-bounded"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    bounds = {"retention.ms": "-1", "retention.bytes": "200000", "segment.bytes": "50000"}
    admin.create_topics([NewTopic(topic, 1, -1, config=bounds)])[topic].result()
    producer = Producer(client(broker, compression_type="none", batch_num_messages=10))
    for _ in range(1000):
        producer.produce(topic, b"x" * 1000)
    assert producer.flush(10) == 0
    assert eventually(lambda: watermarks(broker, topic)[0] >= 700)
    assert watermarks(broker, topic)[1] == 1000


def test_stop_loses_nothing_and_the_port_stays(tmp_path: Path) -> None:
    with Broker(tmp_path) as own:
        bootstrap, topic = own.bootstrap, new_topic(own)
        fill(own, topic, 1000)
        with consumer_of(own, "kept") as consumer:
            consumer.commit(offsets=[TopicPartition(topic, 0, 600)], asynchronous=False)
        assert own.stop() == 0
        own.start()
        assert own.bootstrap == bootstrap
        assert payloads(read(bootstrap, topic)) == list(range(1000))
        with consumer_of(own, "kept") as consumer:
            [place] = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        assert place.offset == 600
        fill(own, topic, 5, first=1000)
        assert payloads(read(bootstrap, topic, first=999)) == [999, 1000, 1001, 1002, 1003, 1004]


def test_kill_loses_at_most_the_last_seconds_and_leaves_no_gap(tmp_path: Path) -> None:
    with Broker(tmp_path / "live") as own:
        topic = new_topic(own)
        fill(own, topic, 1000)
        # What is on disk at some moment is what a power failure leaves.
        assert eventually(lambda: on_disk(tmp_path, topic) == list(range(1000)), every_s=0.2)
        fill(own, topic, 1000, first=1000)
        own.kill()
        own.start()
        kept = payloads(read(own.bootstrap, topic))
        assert len(kept) >= 1000
        assert kept == list(range(len(kept)))
        fill(own, topic, 10, first=len(kept))
        assert payloads(read(own.bootstrap, topic)) == list(range(len(kept) + 10))


def on_disk(tmp_path: Path, topic: str) -> list[int]:
    """What a broker finds that is started on a copy of the data as they are now."""
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in (tmp_path / "live").glob("kafka.*"):
        shutil.copy(file, copy)
    with Broker(copy) as other:
        if topic not in AdminClient({"bootstrap.servers": other.bootstrap}).list_topics(timeout=10).topics:
            return []
        return payloads(read(other.bootstrap, topic))


def test_a_port_that_is_taken_is_said(broker: Broker, tmp_path: Path) -> None:
    port = int(broker.bootstrap.rpartition(":")[2])
    with pytest.raises(ChildFailed, match=rf"port {port} is already in use"):
        Broker(tmp_path, port=port).start()


def test_a_data_directory_in_use_is_said(broker: Broker) -> None:
    with pytest.raises(ChildFailed, match="already running"):
        Broker(broker.data_dir).start()


def test_leaves_no_process(tmp_path: Path) -> None:
    own = Broker(tmp_path)
    own.start()
    pid = own.pid
    assert connection(own).bootstrap == own.bootstrap
    own.kill()
    assert ends(pid)
    assert own.returncode == -9
    assert own.stop() == -9
