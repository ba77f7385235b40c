"""What tests share: the real components, started once per session."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from infra.embedded.clickhouse import EmbeddedClickHouse


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


def _execute(server: EmbeddedClickHouse, sql: str) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/", data=sql.encode(), timeout=30) as answer:
        answer.read()
