"""The supervisor with processes that do as they are told by the test: die, refuse, drain, do not drain."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.cluster import Cluster, free_addresses
from flows.supervision import Policy, Supervisor
from infra.embedded.process import ChildFailed
from infra.embedded.watchdog import Watchdog
from infra.observe.systemd import Systemd
from infra.signals import StopFlag

RUNS = """
import os, signal, sys
fd = int(sys.argv[1])
{before}
os.write(fd, b'["reached", "t/0"]\\n["takes", "t/0"]\\n')
signal.pause()
"""
IGNORES = RUNS.format(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
DRAINS = RUNS.format(before="signal.signal(signal.SIGTERM, lambda *_: os._exit(0))")
DIES = "import os; os._exit(3)"
REFUSES = 'import os, sys; os.write(int(sys.argv[1]), b\'["refused", "there is no topic t"]\\n\'); os._exit(1)'


def supervisor(code: str, *, systemd: Systemd | None = None, processes: int = 2, **policy: float) -> Supervisor:
    """Over processes that run this code."""
    watchdog = Watchdog()
    chosen = Policy(
        max_restarts=int(policy.get("max_restarts", 1)),
        settled_s=policy.get("settled_s", 60.0),
        drain_timeout_s=policy.get("drain_timeout_s", 30.0),
    )

    def command(number: int, addresses: object, fd: int) -> list[str]:
        return [sys.executable, "-c", code, str(fd)]

    def start() -> Cluster:
        return Cluster(command, range(processes), free_addresses(processes), watchdog)

    return Supervisor(start, chosen, StopFlag(), systemd or Systemd({}))


@contextmanager
def when(condition: Callable[[], bool], do: Callable[[], None]) -> Iterator[None]:
    """In another thread, once it holds; the block must not end before."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(0.01):
            if condition():
                do()
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tell() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_cluster_that_dies_again_and_again_is_given_up() -> None:
    dying = supervisor(DIES, max_restarts=1)
    with pytest.raises(
        ChildFailed, match=r"exit code 3: given up, for it did so 2 times .* \(worker\.max_restarts = 1\)"
    ):
        dying.run()
    assert dying.live() == []


def test_what_starting_again_does_not_heal_is_told_at_once() -> None:
    with pytest.raises(ChildFailed, match="there is no topic t"):
        supervisor(REFUSES, max_restarts=5).run()


def test_told_once_it_drains_and_systemd_hears_of_it(tmp_path: Path) -> None:
    place = tmp_path / "notify"
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(place))
        heard.settimeout(30)

        def listen() -> None:
            while "STATUS=ended well" not in told:
                told.append(heard.recv(4096).decode())

        listener = threading.Thread(target=listen)
        listener.start()
        draining = supervisor(DRAINS, systemd=Systemd({"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "5000000"}))
        assert draining.ready() == ["the cluster is starting"]
        with when(lambda: draining.ready() == [], tell):
            assert draining.run() == 0
        listener.join()
    words = [line for one in told for line in one.splitlines() if not line.startswith("STATUS=")]
    assert [word for word in words if word != "WATCHDOG=1"] == ["READY=1", "STOPPING=1"]
    assert "WATCHDOG=1" in words


def test_what_does_not_drain_in_time_is_killed_and_told() -> None:
    slow = supervisor(IGNORES, drain_timeout_s=0.3)
    with (
        when(lambda: slow.ready() == [], tell),
        pytest.raises(ChildFailed, match=r"not drained within worker\.drain_timeout = 0\.3 s: killed"),
    ):
        slow.run()


def test_told_twice_it_ends_at_once() -> None:
    slow = supervisor(IGNORES)

    def twice() -> None:
        tell()
        while slow.ready() == []:
            pass
        tell()

    with when(lambda: slow.ready() == [], twice):
        assert slow.run() == 128 + signal.SIGTERM
