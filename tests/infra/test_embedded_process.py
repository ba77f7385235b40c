"""Child processes: readiness, failure, stopping, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.process import ChildFailed, ChildProcess, StartCancelled
from infra.embedded.watchdog import Watchdog
from tests.processes import ends, running

FOREVER = "import time; time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]


def test_is_ready_when_it_says_so_and_stops(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    code = f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); print('up', flush=True); time.sleep(600)"
    child = ChildProcess("worker", python(code), log=tmp_path / "logs" / "worker.log", ready=flag.exists)
    child.start()
    assert flag.exists()
    assert child.returncode is None
    assert child.stop() == -signal.SIGTERM
    assert child.stop() == -signal.SIGTERM, "stopping again changes nothing"
    assert not running(child.pid)


def test_a_child_that_dies_at_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.write_text("something of an earlier run\n")
    child = ChildProcess("broker", python("raise SystemExit('port 9092 is in use')"), log=log, ready=lambda: False)
    with pytest.raises(
        ChildFailed, match=r"broker ended with exit code 1. The end of .*:\nport 9092 is in use"
    ) as told:
        child.start()
    assert "earlier run" not in str(told.value)


def test_a_child_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    child = ChildProcess("slow", python(FOREVER), log=tmp_path / "log", ready=lambda: False, ready_timeout_s=0.05)
    with pytest.raises(ChildFailed, match=r"slow was not ready within 0.05 s and wrote nothing"):
        child.start()
    assert not running(child.pid)


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    child = ChildProcess("slow", python(FOREVER), log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(StartCancelled):
        child.start(cancelled=lambda: True)
    assert not running(child.pid)


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    child = ChildProcess("nothing", [str(tmp_path / "no-such-program")], log=tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"nothing cannot be started: .*no-such-program"):
        child.start()
    assert child.stop() is None


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    flag = tmp_path / "deaf"
    code = f"""
        import pathlib, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path({str(flag)!r}).touch()
        time.sleep(600)
    """
    child = ChildProcess("deaf", python(code), log=tmp_path / "log", ready=flag.exists, stop_timeout_s=0.05)
    child.start()
    assert child.stop() == -signal.SIGKILL


PARENT_OF_SLEEPER = """
    import pathlib, subprocess, sys, time
    sleeper = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    path = pathlib.Path(sys.argv[1])
    path.with_suffix(".new").write_text(str(sleeper.pid))
    path.with_suffix(".new").rename(path)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [ChildProcess.stop, ChildProcess.kill])
def test_what_the_child_started_ends_with_it(tmp_path: Path, end: Callable[[ChildProcess], object]) -> None:
    pid_file = tmp_path / "pid"
    child = ChildProcess(
        "parent", [*python(PARENT_OF_SLEEPER), str(pid_file)], log=tmp_path / "log", ready=pid_file.exists
    )
    child.start()
    end(child)
    assert ends(int(pid_file.read_text()))
    assert not running(child.pid)


def test_a_watchdog_that_was_killed_is_replaced_and_told_everything() -> None:
    def sleeper() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(python(FOREVER), start_new_session=True)

    watchdog = Watchdog()
    with watchdog.adopt(sleeper) as first:
        script = watchdog._script
        assert script is not None
        script.kill()
        script.communicate()
        with watchdog.adopt(sleeper) as second:
            assert watchdog._script is not None
            watchdog._script.communicate()  # closes its input, as our death would
            assert (first.wait(10), second.wait(10)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_children_and_grandchildren_die_with_us_even_by_kill_9(tmp_path: Path) -> None:
    """A process of its own starts a child through ChildProcess, from a thread that ends, and is then killed."""
    pid_file = tmp_path / "pid"
    starter = tmp_path / "starter.py"
    starter.write_text(
        textwrap.dedent(f"""
        import sys, threading, time
        from pathlib import Path
        from infra.embedded.process import ChildProcess
        pid_file = Path({str(pid_file)!r})
        child = ChildProcess(
            "parent",
            [sys.executable, "-I", "-S", "-c", {textwrap.dedent(PARENT_OF_SLEEPER)!r}, str(pid_file)],
            log=Path({str(tmp_path / "log")!r}),
            ready=pid_file.exists,
        )
        thread = threading.Thread(target=child.start)
        thread.start()
        thread.join()
        print(child.pid, flush=True)
        time.sleep(600)
        """)
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(starter)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        grandchild = int(pid_file.read_text())
        assert running(child)
        assert running(grandchild)
        parent.kill()
    assert ends(child)
    assert ends(grandchild)
