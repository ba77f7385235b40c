"""A broker and a ClickHouse, and places in which flows run on them."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.kafka.client import Connection
from tests.bench.load import new_topics
from tests.running import Site, create_tables


@dataclass(frozen=True, slots=True)
class Plant:
    """Services that run."""

    home: Path
    broker: Broker
    clickhouse: EmbeddedClickHouse
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def connection(self) -> Connection:
        """To the broker."""
        return Connection(bootstrap=self.broker.bootstrap)

    def site(self, name: str) -> Site:
        """A new topic, and a database with tables."""
        topic = f"{name}-{next(self._numbers)}"
        new_topics(self.connection, topic)
        site = Site(
            home=self.home / topic,
            bootstrap=self.broker.bootstrap,
            topic=topic,
            clickhouse_port=self.clickhouse.port,
            database=topic.replace("-", "_"),
        )
        create_tables(site)
        return site


@contextmanager
def plant(home: Path) -> Iterator[Plant]:
    """Start the services; they end with the block."""
    with Broker(home / "broker") as broker, EmbeddedClickHouse(home / "db", log=home / "db.log") as clickhouse:
        yield Plant(home, broker, clickhouse)


@contextmanager
def running(site: Site, *arguments: str, epoch_s: int, **settings: str) -> Iterator[tuple[ChildProcess, str]]:
    """`streamgauge run sensors` with the default detectors; the process, and where it serves its metrics.

    Told to stop at the end of the block, it must end well.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    given = {"WORKER__EPOCH": f"{epoch_s}s", "OBSERVE__LISTEN": address, **settings}
    with site.worker(*arguments, **given) as worker:
        site.says("; running" if arguments else "runs over")
        yield worker, address
        assert worker.stop() == 0, site.log
