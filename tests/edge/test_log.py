"""The log of a device: what of it is on disk, followed without haste, trimmed; and what waits for a Kafka elsewhere."""

import json
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.edge import told
from infra.edge.forward import Forwarder
from infra.edge.log import LastingLog
from infra.edge.spool import Spool
from infra.embedded.broker import Broker
from infra.embedded.process import ChildFailed
from infra.embedded.saved import Saved
from infra.kafka.tail import Tail, Told
from infra.kafka.trim import Trimmer
from operators.batches import Labels, Lists, Rows
from tests.kafka import connection, eventually, fill, new_topic, payloads, read


def test_a_message_is_told_of_when_it_would_survive_a_kill(tmp_path: Path) -> None:
    with Broker(tmp_path / "log") as broker:
        topic = new_topic(broker)
        log = LastingLog(connection(broker), topic, broker.data_dir)
        done: list[int] = []
        for number in range(100):
            assert log.send(b"k", b"%d" % number, partial(done.append, number)) == ""

        def all_done() -> bool:
            log.serve(0.05)
            return len(done) == 100

        assert eventually(all_done)
        broker.kill()
        log.close()
        broker.start()
        assert payloads(read(broker.bootstrap, topic)) == list(range(100))
    assert done == list(range(100))


def test_what_is_on_disk_is_told_once_and_a_strange_file_is_said(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        topic = new_topic(broker, partitions=2)
        saved = Saved(tmp_path)
        fill(broker, topic, 7, partition=1)
        assert eventually(lambda: saved.highs(topic) == {0: 0, 1: 7})
        assert saved.highs(topic) is None
        assert broker.stop() == 0
    (tmp_path / "kafka.json").write_text(f'{{"topics":[["{topic}",{{"other":1}}]],"configs":{{}}}}')
    with pytest.raises(ChildFailed, match="not as this release"):
        saved.highs(topic)


def test_a_tail_goes_on_where_it_was_and_at_the_end_of_a_log_that_lost_its_own(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    tail = Tail(connection(broker), [topic], group=f"group-{topic}")
    assert [int(one.value) for one in tail.read()] == list(range(10))
    tail.commit()
    assert tail.read(within_s=0) == []
    fill(broker, topic, 2_500, first=10)
    found: list[int] = []

    def all_found() -> bool:
        found.extend(int(one.value) for one in tail.read())
        return len(found) >= 2_500

    assert eventually(all_found)
    assert found == list(range(10, 2_510))
    tail.close()
    again = Tail(connection(broker), [topic], group=f"group-{topic}")
    assert again.places == {(topic, 0): 10}, "what was read and not committed comes again"
    again.close()
    beyond = Tail(connection(broker), [topic], group="x", places={(topic, 0): 9_999})
    assert beyond.places == {(topic, 0): 2_510}
    beyond.close()


def test_what_all_have_read_is_taken_out(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    trimmer = Trimmer(connection(broker), {topic: (f"a-{topic}", f"b-{topic}")}, keep_s=0)
    for group, at in (("a", 8), ("b", 5)):
        trimmer.trim()
        assert first(broker, topic) == 0, "one of them has said nothing yet"
        with Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"{group}-{topic}"}) as consumer:
            consumer.commit(offsets=[TopicPartition(topic, 0, at)], asynchronous=False)
    trimmer.trim()
    assert first(broker, topic) == 5


def first(broker: Broker, topic: str) -> int:
    with Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "looking"}) as consumer:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)[0]


def some(count: int, size: int = 10) -> list[Told]:
    return [Told("t", b"k", bytes(str(n).rjust(size), "ascii"), 1_700_000_000_000 + n) for n in range(count)]


def test_a_spool_keeps_what_waits_with_its_place_and_drops_the_oldest(tmp_path: Path) -> None:
    file = tmp_path / "spool.sqlite"
    spool = Spool(file, max_bytes=1_000_000)
    assert spool.append(some(3), {("t", 0): 3}) == 0
    assert spool.append(some(2), {("t", 0): 5}) == 0
    spool.close()
    spool = Spool(file, max_bytes=1)
    assert (spool.places(), spool.messages) == ({("t", 0): 5}, 5)
    chunk = spool.after(0)
    assert chunk is not None
    assert chunk.messages == some(3)
    assert spool.append(some(1), {("t", 0): 6}) == 6, "beyond its bound nothing stays"
    assert (spool.messages, spool.bytes, spool.after(0)) == (0, 0, None)
    spool.close()


def test_what_waits_arrives_elsewhere_as_it_was(tmp_path: Path, broker: Broker) -> None:
    topic = new_topic(broker)
    spool = Spool(tmp_path / "spool.sqlite", max_bytes=1_000_000)
    messages = [Told(topic, b"k%d" % n, b"%d" % n, 1_700_000_000_000 + n) for n in range(50)]
    spool.append(messages, {})
    stop = threading.Event()
    forwarder = Forwarder(connection(broker), spool, prefix="", rate=1_000_000)
    thread = threading.Thread(target=forwarder.run, args=(stop,))
    thread.start()
    try:
        assert eventually(lambda: spool.messages == 0)
    finally:
        stop.set()
        thread.join()
        spool.close()
    found = [Told(topic, m.key() or b"", m.value() or b"", m.timestamp()[1]) for m in read(broker.bootstrap, topic)]
    assert found == messages


def test_verdicts_are_told_of_flagged_readings_only() -> None:
    columns = {
        "sensor_id": Labels(np.array([0, 1, 0], np.int32), ["a", "b"]),
        "time": np.array([0, 1_000, 2_000], np.int64),
        "value": np.array([1.0, 2.0, 3.0]),
        "score": np.array([np.nan, np.nan, 4.5], np.float32),
        "is_anomaly": np.array([False, True, True]),
        "flagged_by": Lists(("range", "z-score"), np.array([[0, 0], [1, 0], [1, 1]], bool)),
        "topic": "t",
    }
    messages = told.verdicts(Rows("readings", 3, columns))  # type: ignore[arg-type]
    assert [key for key, _, _ in messages] == [b"b", b"a"]
    assert json.loads(messages[0][1]) == {
        "sensor_id": "b",
        "time": "1970-01-01T00:00:01.000Z",
        "value": 2.0,
        "score": None,
        "flagged_by": ["range"],
    }
    assert told.verdicts(Rows("readings", 1, {"is_anomaly": np.array([False])})) == []


def test_windows_are_told_by_their_group() -> None:
    columns = {
        "window": ["1m"],
        "location": ["hall"],
        "start": np.array([0], np.int64),
        "end": np.array([60_000], np.int64),
        "mean": np.array([np.nan]),
        "count": np.array([0], np.int64),
        "generation": 0,
    }
    ((key, value, _),) = told.windows(Rows("windows", 1, columns))  # type: ignore[arg-type]
    assert key == b"1m//hall//"
    assert json.loads(value)["mean"] is None
    assert json.loads(value)["end"] == "1970-01-01T00:01:00.000Z"
    assert "generation" not in json.loads(value)
