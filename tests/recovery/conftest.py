"""One topic with every kind of trouble in it, places to run over it, and what an undisturbed run makes of it."""

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.running import MakeSite, Site, sites

MESSAGES = 4_000
STEP = 500
"""So many readings are stored between two disturbances."""
PARTITIONS = 4

SLOW = {"WORKER__MAX_EPOCH_ROWS": "250"}
"""At most so many readings a second from each of the partitions."""


@pytest.fixture(scope="session")
def make_site(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> MakeSite:
    """Makes places to run on one topic, each with a database of its own."""
    return sites(broker, clickhouse, tmp_path_factory.mktemp("recovery"), messages=MESSAGES, partitions=PARTITIONS)


@pytest.fixture(scope="session")
def undisturbed(make_site: MakeSite) -> Site:
    """A run from beginning to end."""
    site = make_site("undisturbed")
    site.run_to_end()
    return site
