"""One partition of the Kafka source, driven by hand: where it starts, what it hands out, when it rests."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.embedded.broker import Broker
from infra.kafka import partition as partition_module
from infra.kafka.admin import create_topic
from infra.kafka.client import KafkaFailure, TopicMissing
from infra.kafka.partition import KafkaPartition
from infra.kafka.source import KafkaSource
from operators.intake import IntakeBatch, SourceState
from tests.infra.intakes import Seen
from tests.kafka import KAFKA_MS, connection, eventually, fill, new_topic


class Driven:
    """A partition and what came out of it."""

    def __init__(self, broker: Broker, topic: str, *, resume: SourceState | None = None, **options: object) -> None:
        self.seen = Seen()
        self.source = f"{topic}/0"
        self.batches: list[IntakeBatch] = []
        make = self.seen.make
        source = KafkaSource(connection(broker), (self.source,), make, **options)  # type: ignore[arg-type]
        self.part: KafkaPartition = source.build_part("step", self.source, resume)

    @property
    def numbers(self) -> list[int]:
        return self.seen.numbers(self.source)

    def step(self) -> list[IntakeBatch]:
        batches = self.part.next_batch()
        self.batches += batches
        return batches

    def until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            self.step()
            return condition()

        assert eventually(holds), (len(self.numbers), self.batches[-3:])

    def until_read(self, count: int) -> None:
        self.until(lambda: len(self.numbers) >= count)
        assert len(self.numbers) == count

    def to_end(self) -> None:
        def ended() -> bool:
            try:
                self.step()
            except StopIteration:
                return True
            return False

        assert eventually(ended)


@contextmanager
def driven(broker: Broker, topic: str, *, resume: SourceState | None = None, **options: object) -> Iterator[Driven]:
    running = Driven(broker, topic, resume=resume, **options)
    yield running
    running.part.close()


@pytest.mark.parametrize(
    ("start", "first"),
    [("earliest", 0), ("latest", 10), ("2023-11-14T22:13:20.004Z", 4), ("2023-11-14T23:13:20.004+01:00", 4)],
)
def test_starts_where_it_is_told(broker: Broker, start: str, first: int) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic, start=start) as run:
        run.until(lambda: run.part.snapshot()[0] >= 0)
        fill(broker, topic, 5, first=10)
        run.until(lambda: 14 in run.numbers)
        assert run.numbers == list(range(first, 15))


def test_a_start_after_all_messages_waits_for_the_next(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic, start="2033-01-01T00:00:00Z") as run:
        run.until(lambda: run.part.snapshot() == (10, 0))


def test_latest_is_looked_up_once_and_kept_over_a_restart(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic, start="latest") as run:
        run.until(lambda: run.part.snapshot()[0] == 10)
        state = run.part.snapshot()
    fill(broker, topic, 3, first=10)
    with driven(broker, topic, start="latest", resume=state) as run:
        run.until_read(3)
        assert run.numbers == [10, 11, 12]


@pytest.mark.parametrize("start", ["yesterday", "2026-01-31", "2026-01-31T08:00:00", ""])
def test_an_unusable_start_is_said_at_once(broker: Broker, start: str) -> None:
    with pytest.raises(KafkaFailure, match=r'kafka\.start = ".*": must be "earliest", "latest" or a time'):
        KafkaSource(connection(broker), (), Seen().make, start=start)


def test_resumes_exactly_after_the_snapshot(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 1000)
    with driven(broker, topic, max_epoch_rows=300) as run:
        run.until_read(300)
        state = run.part.snapshot()
    assert state == (300, 300)
    with driven(broker, topic, resume=state, stop_at_end=True) as run:
        run.to_end()
        assert run.seen.resumed[run.source] == (300, 300)
        assert run.numbers == list(range(300, 1000))
        assert run.part.snapshot() == (1000, 1000)


def test_hands_out_columns_of_consecutive_messages(broker: Broker) -> None:
    topic = new_topic(broker)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number, payload in enumerate((b"1", None, b"", b"4")):
        producer.produce(topic, payload, timestamp=KAFKA_MS + number)
    producer.flush(10)
    with driven(broker, topic, stop_at_end=True) as run:
        run.to_end()
        [messages] = run.seen.batches[run.source]
    assert messages.payloads == [b"1", None, b"", b"4"]
    assert messages.offsets.tolist() == [0, 1, 2, 3]
    assert messages.kafka_ms.tolist() == [KAFKA_MS, KAFKA_MS + 1, KAFKA_MS + 2, KAFKA_MS + 3]
    assert messages.offsets.dtype == messages.kafka_ms.dtype == np.int64


def test_offsets_are_right_where_transactions_left_gaps(broker: Broker) -> None:
    topic = new_topic(broker)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(10)
    for abort in (False, True, False):
        producer.begin_transaction()
        for number in range(3):
            producer.produce(topic, b"%d" % number)
        producer.flush(10)
        if abort:
            producer.abort_transaction(10)
        else:
            producer.commit_transaction(10)
    with driven(broker, topic, stop_at_end=True) as run:
        run.to_end()
        offsets = [offset for batch in run.seen.batches[run.source] for offset in batch.offsets.tolist()]
        assert offsets == [0, 1, 2, 8, 9, 10]
        assert run.part.snapshot()[0] == 11


def test_large_batches_follow_at_once_and_small_ones_are_gathered(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 60_000)
    with driven(broker, topic) as run:
        run.until_read(60_000)
        sizes = [len(batch) for batch in run.seen.batches[run.source]]
        assert max(sizes) <= partition_module.BATCH_MESSAGES
        assert len(sizes) <= 20
        before = datetime.now(UTC)
        assert run.step() == []
        awake = run.part.next_awake()
        assert awake is not None
        assert timedelta(milliseconds=20) < awake - before < timedelta(seconds=5)
    with driven(broker, topic) as run:
        run.until(lambda: run.part.next_awake() is None)
        assert len(run.seen.batches[run.source][-1]) >= partition_module.BATCH_MESSAGES // 2


def test_rests_after_its_share_of_an_epoch(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    with driven(broker, topic, max_epoch_rows=40) as run:
        for epoch in (40, 80, 100):
            run.until_read(epoch)
            assert [run.step() for _ in range(5)] == [[]] * 5
            run.part.snapshot()
        assert run.numbers == list(range(100))


def test_a_partition_never_used_is_idle_at_once_and_wakes_with_its_first_message(broker: Broker) -> None:
    topic = new_topic(broker)
    with driven(broker, topic, idle_after_ms=0) as run:
        run.until(lambda: len(run.batches) == 1)
        assert run.batches[0].idle
        assert [run.step() for _ in range(5)] == [[]] * 5
        fill(broker, topic, 1)
        run.until(lambda: len(run.batches) == 2)
        assert not run.batches[1].idle


def test_silence_makes_idle_once_and_again_after_the_next_message(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic, idle_after_ms=30) as run:
        run.until(lambda: run.batches[-1:] != [] and run.batches[-1].idle)
        assert [batch.idle for batch in run.batches] == [*[False] * (len(run.batches) - 1), True]
        assert [run.step() for _ in range(5)] == [[]] * 5
        fill(broker, topic, 1, first=10)
        heard = len(run.batches)
        run.until(lambda: len(run.batches) == heard + 2)
        assert [batch.idle for batch in run.batches[heard:]] == [False, True]


def test_is_not_idle_before_the_time_nor_with_the_rule_switched_off(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    for idle_after_ms in (0, 3_600_000):
        with driven(broker, topic, idle_after_ms=idle_after_ms) as run:
            run.until_read(10)
            assert [run.step() for _ in range(20)] == [[]] * 20


def test_a_partition_still_behind_is_not_idle(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    with driven(broker, topic, idle_after_ms=1, max_epoch_rows=50) as run:
        run.until_read(50)
        assert [run.step() for _ in range(20)] == [[]] * 20


def test_the_stop_flag_ends_it_after_its_last_batch(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    stop = threading.Event()
    with driven(broker, topic, stop=stop) as run:
        run.until_read(10)
        stop.set()
        with pytest.raises(StopIteration):
            run.step()
        assert run.part.snapshot() == (10, 10)


def test_stops_at_the_end_there_was_at_the_start(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    with driven(broker, topic, stop_at_end=True, max_epoch_rows=10) as run:
        run.until_read(10)
        fill(broker, topic, 100, first=100)
        for read in range(20, 110, 10):
            run.part.snapshot()
            run.until_read(read)
        run.to_end()
        assert run.numbers == list(range(100))
        assert run.part.snapshot() == (100, 100)


def test_an_empty_partition_stops_at_its_end_as_idle(broker: Broker) -> None:
    with driven(broker, new_topic(broker), stop_at_end=True) as run:
        run.to_end()
        assert [batch.idle for batch in run.batches] == [True]


def test_deleted_offsets_are_skipped_and_their_number_said(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 100)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    [deleted] = admin.delete_records([TopicPartition(topic, 0, 40)]).values()
    deleted.result()
    with driven(broker, topic, resume=(25, 25), stop_at_end=True) as run:
        run.to_end()
        assert run.numbers == list(range(40, 100))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"{topic}/0: offsets 25 to 39 were deleted before they were read: 15 messages are lost" in record.message


def test_a_partition_shorter_than_what_was_read_goes_on_at_its_end(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic, resume=(50, 50)) as run:
        run.until(lambda: run.part.snapshot()[0] == 10)
        fill(broker, topic, 2, first=10)
        run.until_read(2)
        assert run.numbers == [10, 11]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"{topic}/0: ends at offset 10 but was read up to 50" in record.message


def test_a_topic_made_anew_while_it_is_read_goes_on_with_what_is_new(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic) as run:
        run.until_read(10)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics([topic])[topic].result()
        create_topic(connection(broker), topic, partitions=1, config={"retention.ms": "-1"})
        fill(broker, topic, 3, first=8)
        run.until_read(11)
        assert run.numbers == [*range(10), 10], "8 and 9 are no newer than what was read"
        assert run.part.snapshot()[0] == 3
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"{topic}/0: ends at offset 3 but was read up to 10" in record.message
    assert "going on at 2" in record.message


def test_a_topic_that_stays_away_is_an_error(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "_ABSENT_S", 0.0)
    with driven(broker, "never-made") as run, pytest.raises(TopicMissing, match="never-made: no such topic"):
        run.until(lambda: False)


def test_a_broker_that_answers_empty_fetches_at_once_is_not_asked_all_the_time(broker: Broker) -> None:
    """The embedded broker does so, 20,000 times a second; Kafka keeps such a fetch for half a second."""
    topic = new_topic(broker)
    fill(broker, topic, 10)
    with driven(broker, topic) as driven_part:
        part = driven_part.part

        def fetches_between_statistics() -> int:
            before = part._fetches
            assert eventually(lambda: bool(_next(part)) or part._fetches != before, every_s=0)
            return part._fetches - before

        assert eventually(lambda: fetches_between_statistics() < 5_000, every_s=0)
        fill(broker, topic, 10, first=10)
        assert eventually(lambda: bool(_next(part)) or driven_part.seen.count() == 20, every_s=0)


def _next(part: KafkaPartition) -> list[IntakeBatch]:
    """The next batch when it is due, as Bytewax asks for it."""
    due = part.next_awake()
    if due is not None:
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    return part.next_batch()
