"""One measurement: a job in a process of its own, over a topic that is there already."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Timer
from typing import Any

_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Input:
    """What a job reads, and an empty directory for its recovery store."""

    bootstrap: str
    topic: str
    messages: int
    store: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """readings: read. counted: readings in the rows given out, by window, divided by the windows each is in."""

    readings: int
    counted: dict[str, float]


Job = Callable[[Input], Outcome]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a job. cpu_s: of all threads. peak_bytes: largest resident set of its process."""

    readings: int
    counted: dict[str, float]
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.wall_s

    @property
    def counted_share(self) -> float:
        """Share of the readings that the windows counted, of the window that lost most."""
        return min(self.counted.values(), default=0.0) / self.readings


def measure(job: Job, warm: Input | None, given: Input) -> Measured:
    """Run a job in this process; first over the few messages of `warm`, so that everything is imported and compiled."""
    if warm is not None:
        job(warm)
    cpu_s, start_s = _cpu_s(), time.perf_counter()
    outcome = job(given)
    wall_s = time.perf_counter() - start_s
    return Measured(outcome.readings, outcome.counted, wall_s, _cpu_s() - cpu_s, _peak_bytes())


def measure_apart(
    job: str, warm: Input | None, given: Input, *, on_read: Callable[[int], None] = lambda readings: None
) -> Measured:
    """The same in a new process; job: name of a module of this package.

    on_read: told how many messages the job says it has read, if it does.
    Raises CalledProcessError, also after ten minutes.
    """
    told = json.dumps({"job": job, "warm": warm and asdict(warm), "given": asdict(given)})
    command = [sys.executable, "-m", "tests.bench.child", told]
    answer: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        limit = Timer(_TIMEOUT_S, child.kill)
        limit.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                answer = json.loads(line)
                if "read" in answer:
                    on_read(answer["read"])
            child.wait()
        finally:
            limit.cancel()
            child.kill()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Measured(**answer)


def tell_read(readings: int) -> None:
    """For a job: how many messages it has read."""
    print(json.dumps({"read": readings}), flush=True)


def middle(runs: list[Measured]) -> Measured:
    """The run of median rate; of an even number the slower one of the middle."""
    return sorted(runs, key=lambda run: run.rate)[(len(runs) - 1) // 2]


def cpu_us(run: Callable[[], object]) -> float:
    """CPU microseconds that a call takes, all threads of this process together."""
    start_s = time.process_time()
    run()
    return (time.process_time() - start_s) * 1e6


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_bytes() -> int:
    """Of this program alone: ru_maxrss would also hold the peak of the one that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
