"""One topic with every kind of trouble in it, places to run over it, and what an undisturbed run makes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.kafka import new_topic
from tests.running import Site, create_tables, produce, simulated

MESSAGES = 4_000
STEP = 500
"""So many readings are stored between two disturbances."""
PARTITIONS = 4

SLOW = {"WORKER__MAX_EPOCH_ROWS": "250"}
"""At most so many readings a second from each of the partitions."""

MakeSite = Callable[[str], Site]


@pytest.fixture(scope="session")
def make_site(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> MakeSite:
    """Makes places to run on one topic, each with a database of its own."""
    topic = new_topic(broker, partitions=PARTITIONS)
    produce(broker.bootstrap, topic, simulated(MESSAGES))
    home: Path = tmp_path_factory.mktemp("recovery")

    def make(name: str) -> Site:
        site = Site(
            home=home / name,
            bootstrap=broker.bootstrap,
            topic=topic,
            clickhouse_port=clickhouse.port,
            database=f"recovery_{name}_{topic[-8:]}",
        )
        create_tables(site)
        return site

    return make


@pytest.fixture(scope="session")
def undisturbed(make_site: MakeSite) -> Site:
    """A run from beginning to end."""
    site = make_site("undisturbed")
    site.run_to_end()
    return site
