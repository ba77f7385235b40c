"""The benchmark of recovery sees what happens: epochs, restarts, outages, and a soak in which nothing is missing."""

from collections.abc import Iterator
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from infra.embedded.broker import Broker
from tests.bench import soak
from tests.bench.load import Load
from tests.bench.recovery import kills, outage, packing, store
from tests.bench.recovery.fetch_limits import FetchLimits
from tests.bench.recovery.plant import Plant, plant
from tests.kafka import fill, new_topic, payloads, read

FEW = Load(messages=1_000_000, sensors=200)
EPOCH_S = 1


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant(tmp_path_factory.mktemp("plant")) as running:
        yield running


def test_a_moment_is_seen_for_every_epoch(services: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WARM_EPOCHS", 0)
    monkeypatch.setattr(store, "HISTORY", 2)
    moments = store.watch(services, FEW, epoch_s=EPOCH_S, epochs=2)
    assert len(moments) == 3
    assert all(before.paused_s < after.paused_s for before, after in pairwise(moments))
    assert moments[-1].stored_bytes > 0
    assert moments[-1].page.total("streamgauge_sensors") == FEW.sensors
    assert len(store.written(FEW, moments, epoch_s=EPOCH_S) + store.bounded(moments, epoch_s=EPOCH_S)) == 10


def test_every_shard_is_packed() -> None:
    assert len(packing.shards(40)) == 4
    assert packing.figures(40)[0].reached


def test_a_killed_cluster_flows_again(services: Plant) -> None:
    taken = kills.kill_often(services, FEW, epoch_s=EPOCH_S, kills=1)
    assert len(taken) == 1
    assert kills.figures(taken)[0].wanted


def test_nothing_is_lost_while_clickhouse_is_away(services: Plant) -> None:
    one = outage.endure(services, FEW, epoch_s=EPOCH_S, calm_s=0.5, away_s=1.0, fetches="limited")
    assert (one.stored, one.audit) == (one.sent, 0)
    assert one.sent
    assert one.before_mb < one.peak_mb


def test_limited_fetches_give_everything_in_order(broker: Broker) -> None:
    topic = new_topic(broker)
    fill(broker, topic, 60_000)
    with FetchLimits(int(broker.bootstrap.rpartition(":")[2])) as limits:
        assert payloads(read(f"127.0.0.1:{limits.port}", topic)) == list(range(60_000))


def test_a_short_soak_accounts_for_every_reading() -> None:
    out = StringIO()
    load = Load(messages=30_000, sensors=200, interval_s=2)
    assert soak.run(load, console=Console(file=out, width=200)), out.getvalue()
    assert "100.0000% of the readings" in out.getvalue()
    assert "open files after each quarter" in out.getvalue()
