"""`streamgauge watch` beside a real broker, a real ClickHouse and a real worker."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from flows.configuration import load
from flows.liveness import Watch
from flows.places import clickhouse_address, connection
from flows.settings import Settings
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.kafka.admin import create_topic
from infra.kafka.client import Connection
from tests.flows.commands import ARGV, streamgauge
from tests.kafka import KAFKA_MS, eventually, fill, new_topic, read
from tests.running import Site, create_tables, produce, simulated

SILENT_AFTER = "4s"


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse, database: str) -> Site:
    topic = new_topic(broker, partitions=3)
    create_topic(Connection(bootstrap=broker.bootstrap), f"{topic}-alerts", partitions=1)
    place = Site(
        home=tmp_path, bootstrap=broker.bootstrap, topic=topic, clickhouse_port=clickhouse.port, database=database
    )
    create_tables(place)
    return place


def settings_of(site: Site) -> Settings:
    empty = site.home / "empty.toml"
    empty.touch()
    more = {"OBSERVE__SILENT_AFTER": SILENT_AFTER, "KAFKA__ALERTS_TOPIC": f"{site.topic}-alerts"}
    return load(empty, site.environment | {f"STREAMGAUGE_{name}": text for name, text in more.items()})


class Wall:
    """A clock that is set by hand."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s


@contextmanager
def watching(site: Site, wall: Wall, *, never_s: float = 0.0) -> Iterator[Watch]:
    settings = settings_of(site)
    watch = Watch(
        settings, connection(settings), clickhouse_address(settings), never_s=never_s, clock_s=lambda: wall.now_s
    )
    yield watch
    watch.close()


def commit(site: Site, offset: int) -> None:
    """As a flow that has read partition 0 up to there."""
    consumer = Consumer({"bootstrap.servers": site.bootstrap, "group.id": site.database, "log_level": 2})
    consumer.commit(offsets=[TopicPartition(site.topic, 0, offset)], asynchronous=False)
    consumer.close()


def told(site: Site) -> list[tuple[str, str]]:
    return sorted(
        (row["kind"], row["subject"]) for row in site.stored("events", where="kind IN ('silent', 'heard_again')")
    )


def test_a_partition_a_plant_and_the_flow_are_told_of_and_so_is_that_they_are_heard_again(
    broker: Broker, site: Site
) -> None:
    wall = Wall(KAFKA_MS / 1000)
    fill(broker, site.topic, 3, partition=0)
    fill(broker, site.topic, 3, partition=1)
    partition, plant, flow = f"partition {site.topic}/0", f"plant {site.topic}", f"flow {site.database}"
    other = f"partition {site.topic}/1"
    with watching(site, wall, never_s=wall.now_s) as watch:
        assert watch.look() == []
        wall.now_s += 3
        fill(broker, site.topic, 3, partition=1, first=3)
        assert watch.look() == []
        wall.now_s += 1
        assert [change.subject for change in watch.look()] == [partition, flow]
        wall.now_s += 3
        assert [change.subject for change in watch.look()] == [other, plant]
        assert watch.silent == sorted([flow, partition, other, plant])
        commit(site, 1)
        fill(broker, site.topic, 1, partition=0, first=3)
        assert [(c.kind, c.subject) for c in watch.look()] == [("heard_again", s) for s in (partition, plant, flow)]
    silent = [("silent", subject) for subject in (partition, other, plant, flow)]
    assert told(site) == sorted([*silent, *(("heard_again", subject) for subject in (partition, plant, flow))])
    assert {
        (row["reason"].split(":")[0], row["state"], row["severity"], row["source"]) for row in site.stored("alerts")
    } == {
        (partition, "resolved", "warning", "health"),
        (other, "open", "warning", "health"),
        (plant, "resolved", "critical", "health"),
        (flow, "resolved", "critical", "health"),
    }
    (row,) = site.stored("alerts", where="rule = 'silent flow'")
    assert (row["ended_at"] - row["started_at"]).total_seconds() == 3
    changes = [json.loads(one.value() or b"") for one in read(site.bootstrap, f"{site.topic}-alerts")]
    assert [(one["rule"], one["state"]) for one in changes if one["rule"] == "silent plant"] == [
        ("silent plant", "open"),
        ("silent plant", "resolved"),
    ]


def test_another_run_neither_tells_again_nor_forgets_to_say_that_it_is_over(broker: Broker, site: Site) -> None:
    fill(broker, site.topic, 1)
    commit(site, 1)
    wall = Wall(KAFKA_MS / 1000 + 100)
    subjects = [f"partition {site.topic}/0", f"plant {site.topic}"]
    with watching(site, wall) as watch:
        assert [change.subject for change in watch.look()] == subjects
    with watching(site, wall) as watch:
        assert watch.look() == []
        assert watch.silent == subjects
    fill(broker, site.topic, 1, first=99_000)
    commit(site, 2)
    with watching(site, wall) as watch:
        assert [(change.kind, change.subject) for change in watch.look()] == [("heard_again", one) for one in subjects]
    assert len(told(site)) == 4
    assert [row["state"] for row in site.stored("alerts")] == ["resolved", "resolved"], "the one that was opened before"


def test_once_says_what_is_silent_in_its_exit_code(broker: Broker, site: Site) -> None:
    def once(**more: str) -> subprocess.CompletedProcess[str]:
        return streamgauge("--config", site.home / "empty.toml", "watch", "--once", env=site.environment | more)

    (site.home / "empty.toml").touch()
    fill(broker, site.topic, 1)
    run = once()
    assert run.returncode == 2, run.stderr
    assert run.stdout.splitlines() == [
        f"silent: flow {site.database}",
        f"silent: partition {site.topic}/0",
        f"silent: plant {site.topic}",
    ]
    run = once(STREAMGAUGE_OBSERVE__SILENT_AFTER="10000d")
    assert (run.returncode, run.stdout) == (2, f"silent: flow {site.database}\n"), "no flow has ever read it"
    commit(site, 1)
    run = once(STREAMGAUGE_OBSERVE__SILENT_AFTER="10000d")
    assert (run.returncode, run.stdout) == (0, "")
    run = once(STREAMGAUGE_OBSERVE__SILENT_AFTER="1s")
    assert run.returncode == 1
    assert "must be longer than worker.epoch = 1s" in run.stderr


def test_a_killed_worker_is_told_of_and_its_return(site: Site) -> None:
    messages = simulated(600)
    produce(site.bootstrap, site.topic, messages[:300])
    words = [*ARGV, "--config", str(site.home / "empty.toml"), "watch"]
    environment = site.environment | {"STREAMGAUGE_OBSERVE__SILENT_AFTER": "2s"}
    watch = ChildProcess("watch", words, log=site.home / "watch.log", env=environment, stop_timeout_s=10)
    flow = f"flow {site.database}"
    with site.worker() as worker:
        site.waits_for(1)
        with watch:
            worker.kill()
            produce(site.bootstrap, site.topic, messages[300:])
            assert eventually(lambda: ("silent", flow) in told(site)), watch.log.read_text()
            assert eventually(lambda: ("silent", f"plant {site.topic}") in told(site)), watch.log.read_text()
            with site.worker():
                assert eventually(lambda: ("heard_again", flow) in told(site)), watch.log.read_text()
