"""How the machine is: processors, memory, disks; told once when it becomes short of one, and once when it no longer is.

Linux says all of it in /proc; elsewhere only disks are looked at. In a container with a memory limit that limit counts.
"""

import logging
import math
import shutil
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra.observe import metrics

LOOK_EVERY_S = 15.0
LOOKS = 4
"""So many looks in a row must agree: a minute."""
CPU_LOOKS = 20
"""Of processors: five minutes, for a flow that catches up uses all it can get."""

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """The machine has become short of something (or no longer is); subject: "cpu", "memory", "disk PATH"."""

    kind: Literal["degraded", "recovered"]
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Look:
    """One look: share of processors in use; share of memory left; share left of each disk, by directory. NaN: unknown.

    memory_bytes, disk_bytes: the same as bytes.
    """

    cpu: float
    memory: float
    disks: Mapping[str, float]
    memory_bytes: float = math.nan
    disk_bytes: Mapping[str, float] = field(default_factory=dict)


class Judge:
    """When is the machine degraded? max_cpu, min_memory, min_disk: shares, 0 .. 1.

    degraded: subjects that were found so before, by another run.
    """

    def __init__(self, *, max_cpu: float, min_memory: float, min_disk: float, degraded: Collection[str] = ()) -> None:
        self._max_cpu, self._min_memory, self._min_disk = max_cpu, min_memory, min_disk
        self._looks: dict[str, deque[bool]] = {}
        self._degraded = set(degraded)

    def judge(self, look: Look) -> list[Change]:
        """What has changed with this look."""
        changes = [
            self._judge("cpu", look.cpu > self._max_cpu, f"processors are {look.cpu:.0%} busy", CPU_LOOKS),
            self._judge("memory", look.memory < self._min_memory, f"{look.memory:.1%} of memory is left"),
        ]
        for directory, left in look.disks.items():
            subject = f"disk {directory}"
            changes.append(self._judge(subject, left < self._min_disk, f"{left:.1%} of the disk is left"))
        return [change for change in changes if change is not None]

    def _judge(self, subject: str, short: bool, detail: str, looks_needed: int = LOOKS) -> Change | None:
        looks = self._looks.setdefault(subject, deque(maxlen=looks_needed))
        looks.append(short)
        was = subject in self._degraded
        if len(looks) < looks_needed or len(set(looks)) > 1 or short == was:
            return None
        (self._degraded.add if short else self._degraded.discard)(subject)
        return Change("degraded" if short else "recovered", subject, detail)


class Machine:
    """Looks at this machine. directories: those whose disks matter; one that is yet to be made counts as its parent."""

    def __init__(self, directories: tuple[str, ...]) -> None:
        self._directories = directories
        self._ticks = (0, 0)

    def look(self) -> Look:
        """The state of now; processors since the last look."""
        left, total = _memory()
        disks = {directory: _disk(Path(directory)) for directory in self._directories}
        return Look(
            cpu=self._cpu(),
            memory=left / total if total else math.nan,
            disks={directory: free / size if size else math.nan for directory, (free, size) in disks.items()},
            memory_bytes=left,
            disk_bytes={directory: free for directory, (free, _) in disks.items()},
        )

    def _cpu(self) -> float:
        before, self._ticks = self._ticks, _ticks()
        busy, total = self._ticks[0] - before[0], self._ticks[1] - before[1]
        return busy / total if total > 0 else math.nan


@contextmanager
def watched(
    machine: Machine, make_judge: Callable[[], Judge], tell: Callable[[Sequence[Change]], None]
) -> Iterator[None]:
    """While in the block, look at the machine every 15 s; `tell`, called from another thread, takes what changes.

    make_judge: called from there, too.
    """
    ended = threading.Event()

    def go_on() -> None:
        judge = make_judge()
        while not ended.wait(LOOK_EVERY_S):
            look_once(machine, judge, tell)

    machine.look()  # processors are measured from here
    thread = threading.Thread(target=go_on, name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def look_once(machine: Machine, judge: Judge, tell: Callable[[Sequence[Change]], None]) -> None:
    """Look, update the metrics, say what has changed in the log, and tell it."""
    look = machine.look()
    metrics.CPU_BUSY.set(look.cpu)
    metrics.MEMORY_AVAILABLE.set(look.memory_bytes)
    for directory, free in look.disk_bytes.items():
        metrics.DISK_FREE.labels(directory).set(free)
    changes = judge.judge(look)
    for change in changes:
        degraded = change.kind == "degraded"
        metrics.DEGRADED.labels(change.subject).set(degraded)
        logger.log(
            logging.WARNING if degraded else logging.INFO, "%s %s: %s", change.subject, change.kind, change.detail
        )
    if changes:
        tell(changes)


def _ticks() -> tuple[int, int]:
    """Busy and all ticks of all processors since start; (0, 0) where that is not said."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(word) for word in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # without idle and waiting for disks
    return 0, 0


def _memory() -> tuple[float, float]:
    """Bytes left, and of how many; NaN and 0 where that is not said."""
    with suppress(OSError, ValueError, KeyError):
        lines = (_PROC / "meminfo").read_text().splitlines()
        kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        machine = kb["MemAvailable"] * 1024.0, kb["MemTotal"] * 1024.0
        return min(machine, _container() or machine)
    return math.nan, 0.0


def _container() -> tuple[float, float] | None:
    """Bytes left of a container's own limit, and the limit; None without one (cgroup 2)."""
    with suppress(OSError, ValueError, KeyError):
        limit = int((_CGROUP / "memory.max").read_text())  # "max": none
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return float(limit - used + int(stat["inactive_file"])), float(limit)
    return None


def _disk(directory: Path) -> tuple[float, float]:
    """Bytes free for us, and the disk's size."""
    for place in (directory.absolute(), *directory.absolute().parents):
        with suppress(OSError):
            usage = shutil.disk_usage(place)
            return float(usage.free), float(usage.total)
    return math.nan, 0.0
