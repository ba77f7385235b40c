"""What tests share: the real components, started once per session."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from hypothesis import settings

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse

# The first call of a compiled kernel takes seconds; the same examples every time.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """An embedded ClickHouse of this test session; use a database of your own in it, see `database`."""
    home: Path = tmp_path_factory.mktemp("clickhouse")
    with EmbeddedClickHouse(home / "data", log=home / "clickhouse.log") as server:
        yield server


@pytest.fixture
def database(clickhouse: EmbeddedClickHouse) -> Iterator[str]:
    """The name of an empty database for one test; it is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(clickhouse, f"CREATE DATABASE {name}")
    yield name
    _execute(clickhouse, f"DROP DATABASE {name} SYNC")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """An embedded broker of this test session; use topics of your own in it, see `tests.kafka.new_topic`."""
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def _execute(server: EmbeddedClickHouse, sql: str) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/", data=sql.encode(), timeout=30) as answer:
        answer.read()
