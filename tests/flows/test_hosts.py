"""A place in a cluster over several hosts: what is refused before anything starts, and who has the recovery store."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from flows.hosts import Place, can_listen, place_among, store_of_hosts
from flows.recovery import LAYOUT_FILE, Layout
from flows.settings import Settings, SettingsError
from flows.store.files import StoreError
from flows.store.lock import alone
from tests.flows.commands import streamgauge

TWO = ("hostA:2101", "hostB:2101")
FIRST, SECOND = (place_among(process, TWO) for process in (0, 1))


@pytest.mark.parametrize(
    ("process", "addresses", "says"),
    [
        (0, (), "needs --process-id and the --address of every process, at least two"),
        (0, TWO[:1], "needs --process-id and the --address of every process, at least two"),
        (None, TWO, "needs --process-id and the --address of every process, at least two"),
        (2, TWO, "--process-id 2: with 2 addresses it is at most 1"),
        (0, ("hostA:2101", "hostA:2101"), "two processes have the same --address"),
        (0, ("hostA:2101", "hostB"), "'hostB' is no address"),
    ],
)
def test_what_is_no_place_is_refused(process: int | None, addresses: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        place_among(process, addresses)


def test_the_command_refuses_it_too() -> None:
    for more in (
        ["--process-id", "0"],
        ["--process-id", "0", "--address", "a:1", "--address", "b:1", "--processes", "2"],
    ):
        refused = streamgauge("run", "sensors", *more)
        assert refused.returncode == 2
        assert "--address" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_an_address_that_cannot_be_had_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ours = f"127.0.0.1:{taken.getsockname()[1]}"
        for address in (ours, "192.0.2.1:2101"):
            with pytest.raises(SettingsError, match=f"process 1 cannot listen at --address {address} "):
                can_listen(replace(SECOND, addresses=("127.0.0.1:1", address)))
    can_listen(Place(0, (ours, "192.0.2.1:2101"), over_hosts=True))


def test_the_store_is_process_0s_alone(tmp_path: Path) -> None:
    layout = Layout.of("sensors", Settings())
    with alone(ready(tmp_path / "a")):
        store_of_hosts(FIRST, tmp_path / "a", layout, start="earliest")
        assert (tmp_path / "a" / LAYOUT_FILE).exists()
    store_of_hosts(SECOND, tmp_path / "b", layout, start="earliest")
    assert list((tmp_path / "b").iterdir()) == []
    with pytest.raises(StoreError, match=r"holds a recovery store .* give this host --process-id 0"):
        store_of_hosts(SECOND, tmp_path / "a", layout, start="earliest")


def test_a_store_that_was_reset_begins_where_the_other_hosts_do(tmp_path: Path) -> None:
    layout = Layout.of("sensors", Settings())
    with alone(ready(tmp_path)):
        store_of_hosts(FIRST, tmp_path, layout, start="earliest")
        file = tmp_path / LAYOUT_FILE
        file.write_text(json.dumps(json.loads(file.read_text()) | {"start": "2026-01-01T00:00:00Z"}))
        with pytest.raises(StoreError, match=r'set kafka\.start = "2026-01-01T00:00:00Z" on all of them'):
            store_of_hosts(FIRST, tmp_path, layout, start="earliest")
        store_of_hosts(FIRST, tmp_path, layout, start="2026-01-01T00:00:00Z")


def ready(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory
