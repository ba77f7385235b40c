"""The Bytewax sink: what an epoch promises, with a live ClickHouse and a real recovery store."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, cluster_main, run_main
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import Address
from infra.clickhouse.sink import ClickHouseSink
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.batches import Rows
from tests.infra.clickhouse_support import database


@pytest.fixture
def live(clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Address, Client]]:
    with database(clickhouse.port) as both:
        yield both


def batch(number: int, *, rows: int = 10) -> tuple[str, Rows]:
    times = np.arange(number * rows, (number + 1) * rows)
    return f"topic/{number % 7}", Rows("events", rows, {"time": times, "kind": "k", "subject": "s"})


def flow(sink: ClickHouseSink, source: TestingSource[tuple[str, Rows]]) -> Dataflow:
    flow = Dataflow("sink_test")
    op.output("out", op.input("in", flow, source), sink)
    return flow


def count(client: Client) -> int:
    found = client.command("SELECT count() FROM events_final")
    assert isinstance(found, int)
    return found


def test_bounded_input_is_all_stored_at_the_end(live: tuple[Address, Client]) -> None:
    address, client = live
    sink = ClickHouseSink(address)
    run_main(flow(sink, TestingSource([batch(n) for n in range(100)])))
    assert count(client) == 1000
    assert sink.stats.rows == 1000
    assert sink.stats.inserts <= 3


def test_two_workers_share_one_writer(live: tuple[Address, Client]) -> None:
    address, client = live
    sink = ClickHouseSink(address)
    cluster_main(flow(sink, TestingSource([batch(n) for n in range(50)])), [], 0, worker_count_per_proc=2)
    assert count(client) == sink.stats.rows == 500


def test_a_crash_and_the_replay_after_it_store_every_row_once(live: tuple[Address, Client], tmp_path: Path) -> None:
    address, client = live
    init_db_dir(tmp_path, 1)
    recovery = RecoveryConfig(tmp_path)
    items: list[tuple[str, Rows] | TestingSource.ABORT] = [batch(n) for n in range(30)]
    items.insert(20, TestingSource.ABORT())
    source: TestingSource[tuple[str, Rows]] = TestingSource(items, batch_size=3)
    for crashes in (True, False):
        sink = ClickHouseSink(address)
        run_main(flow(sink, source), epoch_interval=timedelta(0), recovery_config=recovery)
        stored = count(client)
        assert (0 < stored < 300) if crashes else (stored == 300)


def test_what_clickhouse_refuses_stops_the_flow(live: tuple[Address, Client]) -> None:
    address, client = live
    client.command("DROP TABLE events")
    sink = ClickHouseSink(address)
    with pytest.raises(RuntimeError) as caught:
        run_main(flow(sink, TestingSource([batch(0)])))
    causes = []
    error: BaseException | None = caught.value
    while error is not None:
        causes.append(str(error))
        error = error.__cause__
    assert any("ClickHouse refused 10 rows of events" in cause for cause in causes), causes


def test_keys_spread_over_the_parts_and_stay() -> None:
    sink = ClickHouseSink(Address(), parts=4)
    parts = [sink.part_fn(f"topic/{partition}/{shard}") % 4 for partition in range(16) for shard in range(4)]
    assert min(np.bincount(parts)) >= 8
    assert sink.part_fn("sensors.readings/0/0") == 3030279319
    assert sink.list_parts() == ["00", "01", "02", "03"]
