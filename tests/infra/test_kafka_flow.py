"""The source within Bytewax: exactly once over restarts, drained on request, its progress in the consumer group."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from infra.embedded.broker import Broker
from infra.kafka.admin import group_lag, partitions
from infra.kafka.source import KafkaSource
from operators.intake import IntakeBatch
from tests.infra.intakes import Seen
from tests.kafka import connection, fill, new_topic

EACH_BATCH = timedelta(0)


class Watched(FixedPartitionedSink[IntakeBatch, None]):
    """A sink that tells of batches, and of snapshots before an epoch may complete."""

    def __init__(self, on_batch: Callable[[], None], on_snapshot: Callable[[], None]) -> None:
        self.on_batch, self.on_snapshot = on_batch, on_snapshot

    def list_parts(self) -> list[str]:
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_WatchedPart":
        return _WatchedPart(self)


class _WatchedPart(StatefulSinkPartition[IntakeBatch, None]):
    def __init__(self, sink: Watched) -> None:
        self._sink = sink

    def write_batch(self, values: list[IntakeBatch]) -> None:
        self._sink.on_batch()

    def snapshot(self) -> None:
        self._sink.on_snapshot()


class Runs:
    """Runs of one flow over one recovery store."""

    def __init__(self, broker: Broker, store: Path, *, partitions_: int = 1) -> None:
        self.broker = broker
        self.topic = new_topic(broker, partitions=partitions_)
        store.mkdir()
        init_db_dir(store, 1)
        self._recovery = RecoveryConfig(str(store))

    def run(
        self,
        *,
        on_batch: Callable[[], None] = lambda: None,
        on_snapshot: Callable[[], None] = lambda: None,
        epoch: timedelta = EACH_BATCH,
        workers: int = 1,
        **options: object,
    ) -> Seen:
        seen = Seen()
        parts = partitions(connection(self.broker), [self.topic])
        source = KafkaSource(connection(self.broker), parts, seen.make, group=self.topic, **options)  # type: ignore[arg-type]
        flow = Dataflow("flow")
        batches = op.input("source", flow, source)
        keyed = op.key_on("key", batches, lambda batch: batch.source)
        op.output("sink", keyed, Watched(on_batch, on_snapshot))
        with suppress(AbortExecution):
            cluster_main(
                flow, [], 0, epoch_interval=epoch, recovery_config=self._recovery, worker_count_per_proc=workers
            )
        return seen

    def committed(self) -> list[int | None]:
        return [lag.committed for lag in group_lag(connection(self.broker), self.topic, [self.topic])]


@pytest.fixture
def runs(broker: Broker, tmp_path: Path) -> Runs:
    return Runs(broker, tmp_path / "recovery")


def test_goes_on_where_the_last_complete_epoch_ended(runs: Runs) -> None:
    fill(runs.broker, runs.topic, 1_000)
    first = runs.run(stop_at_end=True)
    fill(runs.broker, runs.topic, 500, first=1_000)
    second = runs.run(stop_at_end=True)
    source = f"{runs.topic}/0"
    assert first.numbers(source) == list(range(1_000))
    assert second.resumed[source] == (1_000, 1_000)
    assert second.numbers(source) == list(range(1_000, 1_500))
    assert runs.committed() == [1_500]
    assert runs.run(stop_at_end=True).count() == 0


def test_a_crash_repeats_only_what_no_complete_epoch_holds(runs: Runs) -> None:
    fill(runs.broker, runs.topic, 1_000)
    completed: list[bool] = []

    def fail_later() -> None:
        if len(completed) == 3:
            raise AbortExecution

    def note() -> None:
        completed.append(True)

    first = runs.run(on_batch=fail_later, on_snapshot=note, max_epoch_rows=100)
    second = runs.run(stop_at_end=True)
    source = f"{runs.topic}/0"
    state = second.resumed[source]
    assert state is not None
    assert 0 < state[0] < len(first.numbers(source))
    assert second.numbers(source) == list(range(state[0], 1_000))
    assert runs.run(stop_at_end=True).resumed[source] == (1_000, 1_000)


def test_the_stop_flag_drains_and_snapshots(runs: Runs) -> None:
    fill(runs.broker, runs.topic, 1_000)
    stop = threading.Event()
    seen = runs.run(on_batch=stop.set, epoch=timedelta(hours=1), max_epoch_rows=400, stop=stop)
    read = seen.count()
    assert 0 < read < 1_000
    assert runs.committed() == [read]
    assert runs.run(stop_at_end=True).numbers(f"{runs.topic}/0") == list(range(read, 1_000))


def test_offsets_are_committed_when_the_sinks_have_finished_the_epoch(runs: Runs) -> None:
    fill(runs.broker, runs.topic, 1_000)
    written: list[int] = [0]
    committed: list[int] = []

    def count() -> None:
        written[-1] += 100

    def look() -> None:
        [offset] = runs.committed()
        committed.append(offset or 0)
        written.append(written[-1])

    runs.run(on_batch=count, on_snapshot=look, max_epoch_rows=100, stop_at_end=True)
    assert runs.committed() == [1_000]
    assert max(committed) > 0
    for offset, written_in_epochs_before in zip(committed, [0, *written], strict=False):
        assert offset <= written_in_epochs_before


def test_two_workers_share_the_partitions(broker: Broker, tmp_path: Path) -> None:
    runs = Runs(broker, tmp_path / "recovery", partitions_=4)
    for partition in range(4):
        fill(broker, runs.topic, 1_000, partition=partition)
    seen = runs.run(stop_at_end=True, workers=2)
    for partition in range(4):
        assert seen.numbers(f"{runs.topic}/{partition}") == list(range(1_000))
    assert runs.committed() == [1_000] * 4
