"""The supervisor: order, failures, signals, and that nothing is left behind."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.process import ChildFailed, ChildProcess
from infra.embedded.supervisor import Supervisor
from tests.processes import ends, running

SERVICE = """
    import pathlib, signal, sys, time
    name, diary = sys.argv[1], open(sys.argv[2], "a")
    def note(what):
        print(what, name, file=diary, flush=True)
    def stop(*_):
        note("stop")
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    note("start")
    while True:
        time.sleep(600)
"""


class Diary:
    """Services that write down when they are started and stopped."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.path = home / "diary"
        self.path.touch()

    def argv(self, name: str, code: str = SERVICE) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code), name, str(self.path)]

    def __call__(self, name: str) -> ChildProcess:
        log = self._home / "logs" / f"{name}.log"
        return ChildProcess(name, self.argv(name), log=log, ready=lambda: f"start {name}" in self.lines())

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def service(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def test_services_stop_in_reverse_order(service: Diary) -> None:
    with Supervisor() as supervisor:
        started = [supervisor.start(service(name)) for name in ("broker", "store", "flow")]
        supervisor.watch(until=lambda: True)
    assert service.lines() == ["start broker", "start store", "start flow", "stop flow", "stop store", "stop broker"]
    assert [child.returncode for child in started] == [0, 0, 0]
    assert not supervisor.stop.is_set()


def supervise(*children: ChildProcess) -> None:
    with Supervisor() as supervisor:
        for child in children:
            supervisor.start(child)
        supervisor.watch()


def test_a_service_that_dies_ends_all_with_its_last_words(service: Diary) -> None:
    dying = SERVICE.replace("while True:", "sys.exit('no space left')\n    while True:")
    flow = ChildProcess("flow", service.argv("flow", dying), log=service.path.with_name("flow.log"))
    with pytest.raises(ChildFailed, match=r"flow ended with exit code 1\. The end of .*flow\.log:\nno space left"):
        supervise(service("broker"), flow)
    assert service.lines()[-1] == "stop broker"


def test_a_service_that_is_killed_ends_all(service: Diary) -> None:
    deadly = SERVICE.replace("while True:", "os.kill(os.getpid(), 9)\n    while True:").replace("sys", "sys, os", 1)
    broker = ChildProcess("broker", service.argv("broker", deadly), log=service.path.with_name("broker.log"))
    with pytest.raises(ChildFailed, match="broker was ended by SIGKILL"):
        supervise(service("store"), broker)
    assert service.lines()[-1] == "stop store"


def test_a_service_may_end_when_that_was_said(service: Diary) -> None:
    finite = SERVICE.replace("while True:", "sys.exit(0)\n    while True:")
    with Supervisor() as supervisor:
        replay = ChildProcess("replay", service.argv("replay", finite), log=service.path.with_name("replay.log"))
        supervisor.start(replay, may_end=True)
        supervisor.watch(until=lambda: replay.returncode is not None)
        supervisor.check()


def test_one_that_does_not_start_stops_those_before_it(service: Diary, tmp_path: Path) -> None:
    nowhere = ChildProcess("flow", [str(tmp_path / "nowhere")], log=tmp_path / "log")
    with pytest.raises(ChildFailed, match="flow cannot be started"):
        supervise(service("broker"), nowhere)
    assert service.lines() == ["start broker", "stop broker"]


class FailsToStop(ChildProcess):
    def stop(self) -> int | None:
        super().stop()
        raise OSError("disk full")


def test_a_stop_that_fails_does_not_keep_the_others_from_stopping(service: Diary, tmp_path: Path) -> None:
    flow = FailsToStop(
        "flow", service.argv("flow"), log=tmp_path / "log", ready=lambda: "start flow" in service.lines()
    )
    failing = ChildProcess("sink", service.argv("sink", "import sys; sys.exit(2)"), log=tmp_path / "sink.log")
    with pytest.raises(OSError, match="disk full") as told:
        supervise(service("broker"), flow, failing)
    assert isinstance(told.value.__context__, ChildFailed), "why it was stopped is not forgotten"
    assert service.lines()[-2:] == ["stop flow", "stop broker"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_service_starts_ends_everything_in_order(service: Diary, signum: signal.Signals) -> None:
    before = signal.getsignal(signum)

    def never_ready() -> bool:
        if "start flow" in service.lines():
            os.kill(os.getpid(), signum)
        return False

    with Supervisor() as supervisor:
        supervisor.start(service("broker"))
        log = service.path.with_name("flow.log")
        supervisor.start(ChildProcess("flow", service.argv("flow"), log=log, ready=never_ready))
        pytest.fail("the rest of the block is skipped")
    assert supervisor.stop.is_set()
    assert service.lines() == ["start broker", "start flow", "stop flow", "stop broker"]
    assert signal.getsignal(signum) is before


SUPERVISED = """
    import sys
    from pathlib import Path
    from infra.embedded.process import ChildProcess
    from infra.embedded.supervisor import Supervisor
    home, code = Path(sys.argv[1]), sys.argv[2]
    diary = home / "diary"
    diary.touch()
    with Supervisor() as supervisor:
        for name in ("broker", "flow"):
            argv = [sys.executable, "-I", "-S", "-c", code, name, str(diary)]
            ready = lambda: f"start {name}" in diary.read_text()
            print(supervisor.start(ChildProcess(name, argv, log=home / f"{name}.log", ready=ready)).pid, flush=True)
        supervisor.watch()
"""


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, in a process group of its own, that supervises two services."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", textwrap.dedent(SUPERVISED), str(tmp_path), textwrap.dedent(SERVICE)]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("signum", "returncode"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_is_left_behind(
    supervised: subprocess.Popen[str], tmp_path: Path, signum: signal.Signals, returncode: int
) -> None:
    """Signals go to the whole foreground group, as Ctrl-C does; SIGKILL leaves no chance to clean up."""
    assert supervised.stdout is not None
    pids = [int(supervised.stdout.readline()) for _ in range(2)]
    assert all(running(pid) for pid in pids)
    os.killpg(supervised.pid, signum)
    assert supervised.wait(30) == returncode
    assert all(ends(pid) for pid in pids)
    if returncode == 0:
        assert re.findall("stop (.*)", (tmp_path / "diary").read_text()) == ["flow", "broker"]
