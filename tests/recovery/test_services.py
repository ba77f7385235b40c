"""Broker and ClickHouse absent at start and killed in mid-stream: waited for, said once, nothing lost or doubled."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.kafka import new_topic
from tests.running import Site, assert_same_rows, create_tables, produce, simulated

MESSAGES = 3_000
ENOUGH = 800
"""Stored readings at which a service is killed."""

SLOW = {"WORKER__MAX_EPOCH_ROWS": "250"}
BROKER_AWAY = r"Kafka does not answer.*waiting for it"
CLICKHOUSE_AWAY = r"ClickHouse at \S+ does not answer.*trying again until it is back"


class Services:
    """A broker and a ClickHouse that a test may kill; a topic with readings, saved on disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.broker = Broker(home / "broker")
        self.clickhouse = EmbeddedClickHouse(home / "clickhouse", log=home / "clickhouse.log")
        self.broker.start()
        self.clickhouse.start()
        self.topic = new_topic(self.broker, partitions=4)
        produce(self.broker.bootstrap, self.topic, simulated(MESSAGES))
        self.broker.stop()  # killed it would lose what it has not saved yet
        self.broker.start()

    def site(self, name: str) -> Site:
        """A database with tables; both services must run."""
        site = Site(
            home=self.home / name,
            bootstrap=self.broker.bootstrap,
            topic=self.topic,
            clickhouse_port=self.clickhouse.port,
            database=name,
        )
        create_tables(site)
        return site

    def stop(self) -> None:
        self.broker.stop()
        self.clickhouse.stop()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("services"))
    yield services
    services.stop()


@pytest.fixture(scope="module")
def undisturbed(services: Services) -> Site:
    site = services.site("undisturbed")
    site.run_to_end()
    return site


def test_a_broker_that_is_absent_and_then_killed_is_waited_for(services: Services, undisturbed: Site) -> None:
    site = services.site("broker")
    services.broker.stop()
    with site.worker(**SLOW) as worker:
        site.says("waiting for it")
        services.broker.start()
        site.waits_for(ENOUGH)
        services.broker.kill()
        site.says("waiting for it", times=2)
        services.broker.start()
        site.waits_for(len(undisturbed.stored("readings")))
        assert worker.stop() == 0
    assert len(re.findall(BROKER_AWAY, site.log)) == 2, site.log
    assert site.log.count("is back after") == 2, site.log
    assert len(site.complaints) == 4, site.log
    site.run_to_end()
    assert_same_rows(site, undisturbed)


def test_a_clickhouse_that_is_absent_and_then_killed_is_waited_for(services: Services, undisturbed: Site) -> None:
    site = services.site("storage")
    services.clickhouse.stop()
    with site.worker(**SLOW) as worker:
        site.says("trying again")
        services.clickhouse.start()
        site.waits_for(ENOUGH)
        services.clickhouse.kill()
        site.says("trying again", times=2)
        services.clickhouse.start()
        site.waits_for(len(undisturbed.stored("readings")))
        assert worker.stop() == 0
    assert len(re.findall(CLICKHOUSE_AWAY, site.log)) == 2, site.log
    assert site.log.count("is back after") == 2, site.log
    assert len(site.complaints) == 4, site.log
    site.run_to_end()
    assert_same_rows(site, undisturbed)


@pytest.mark.parametrize(("absent", "says"), [("broker", "waiting for it"), ("clickhouse", "trying again")])
def test_sigterm_ends_the_waiting_at_once(services: Services, absent: str, says: str) -> None:
    site = services.site(f"waiting_{absent}")
    service = services.broker if absent == "broker" else services.clickhouse
    service.stop()
    with site.worker() as worker:
        site.says(says)
        assert worker.stop() == 0
    assert len(site.complaints) == 1, site.log
    service.start()
