"""The helper process: what it fits, and that it neither stays behind nor takes the worker with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import forest_process
from models.forest_fit import fit
from models.forest_process import FitProcess
from tests.processes import ends

ROWS = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def fits() -> Iterator[FitProcess]:
    """One for all tests: it takes a second to start."""
    process = FitProcess()
    yield process
    process.close()


class OnArrival:
    """Does something in the process that it is sent to."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.does = (function, arguments)

    def __reduce__(self) -> Any:
        return self.does


def helper(process: FitProcess) -> int:
    assert process._helper is not None
    pid = process._helper[0].pid
    assert pid is not None
    return pid


def outcome(process: FitProcess, *, seed: int = 1) -> list[Any]:
    return list(process.submit((ROWS, 5, 64, seed)).result(TIMEOUT_S))


def assert_fits(process: FitProcess, *, seed: int = 1) -> None:
    for given, expected in zip(outcome(process, seed=seed), fit(ROWS, 5, 64, seed), strict=True):
        np.testing.assert_array_equal(given, expected)


def test_fits_are_those_of_this_process_and_come_in_order(fits: FitProcess) -> None:
    futures = [fits.submit((ROWS, 5, 64, seed)) for seed in range(20)]
    for seed, future in enumerate(futures):
        np.testing.assert_array_equal(future.result(TIMEOUT_S)[1], fit(ROWS, 5, 64, seed)[1])


def test_many_large_fits_hold_nobody_up(fits: FitProcess) -> None:
    """More than a pipe holds is asked for before the helper has even begun."""
    large = np.zeros((50_000, 12), np.float32)
    futures = [fits.submit((large, 1, 2, seed)) for seed in range(5)]
    assert not futures[-1].done()
    assert all(future.cancel() for future in futures[1:]), "what nobody waits for is not fitted"
    assert len(futures[0].result(TIMEOUT_S)) == 3


def test_a_killed_helper_is_replaced(fits: FitProcess) -> None:
    assert_fits(fits)
    killed = helper(fits)
    os.kill(killed, signal.SIGKILL)
    assert_fits(fits, seed=2)
    assert helper(fits) != killed


def test_a_fit_over_which_the_helper_dies_twice_is_an_error_and_the_next_one_is_not(fits: FitProcess) -> None:
    with pytest.raises(RuntimeError, match="ended 2 times over one fit, last with exit code 3"):
        fits.submit((OnArrival(os._exit, 3),)).result(TIMEOUT_S)
    assert_fits(fits)


def test_a_stuck_helper_is_replaced(fits: FitProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest_process, "PATIENCE_S", 0.01)
    with pytest.raises(RuntimeError, match="last with exit code -9"):
        fits.submit((OnArrival(signal.pause),)).result(TIMEOUT_S)
    monkeypatch.undo()
    assert_fits(fits)


def test_a_fit_that_fails_is_told_and_costs_no_helper(fits: FitProcess) -> None:
    assert_fits(fits)
    before = helper(fits)
    with pytest.raises(RuntimeError, match="fitting an isolation forest failed: ValueError"):
        fits.submit((np.zeros((0, 4), np.float32), 5, 64, 1)).result(TIMEOUT_S)
    assert_fits(fits)
    assert helper(fits) == before


def test_a_closed_one_ends_its_helper_and_fits_no_more() -> None:
    fits = FitProcess()
    assert_fits(fits)
    pid = helper(fits)
    fits.close()
    assert ends(pid)
    with pytest.raises(RuntimeError, match="the worker is ending"):
        outcome(fits)


WORKER = """
import multiprocessing, os, signal, sys
import numpy as np
from models.forest_process import shared

def fitted():
    shared().submit((np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32), 5, 64, 1)).result()
    return [child.pid for child in multiprocessing.active_children()][0]

print("main", fitted(), flush=True)
"""


def worker(tmp_path: Path, then: str) -> subprocess.Popen[str]:
    """A script without `if __name__ == "__main__"` that has fitted, told the helper's pid, and goes on with `then`."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER + then)
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def told_pid(line: str) -> int:
    word, pid = line.split()
    assert word == "main"
    return int(pid)


def test_a_worker_imports_no_scikit_learn_and_when_killed_leaves_no_helper(tmp_path: Path) -> None:
    then = """
print(sorted({name.split(".")[0] for name in sys.modules} & {"sklearn", "scipy", "joblib", "pandas"}), flush=True)
input()
"""
    with worker(tmp_path, then) as process:
        pid = told_pid(first_line(process))
        assert first_line(process) == "[]\n"
        process.kill()
        rest, _ = process.communicate(timeout=TIMEOUT_S)  # until all that the worker has started has ended too
    assert ends(pid)
    assert rest == ""


def test_signals_to_the_whole_group_are_the_workers_business(tmp_path: Path) -> None:
    """Ctrl-C in a terminal, and a service manager's stop, reach the helper too, which a draining worker still needs."""
    then = """
for kind in (signal.SIGINT, signal.SIGTERM):
    signal.signal(kind, lambda *_: None)
print("ready", flush=True)
input()
print("main", fitted(), flush=True)
"""
    with worker(tmp_path, then) as process:
        pid = told_pid(first_line(process))
        assert first_line(process) == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGTERM)
        rest, _ = process.communicate("go on\n", timeout=TIMEOUT_S)
    assert told_pid(rest) == pid, "the same helper, nothing else was said"
    assert process.returncode == 0
    assert ends(pid)
