"""Keeps a cluster running: starts it, starts it again when a process dies, drains it when told, gives up in the end.

The processes of a Bytewax cluster live and die together: when one is gone the others cannot go on, so all are ended
and started again from the recovery store. Every change is said once, to people, to systemd and to whoever asks over
HTTP.
"""

import logging
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from flows.cluster import Cluster
from infra.embedded.process import ChildFailed
from infra.observe import metrics
from infra.observe.systemd import Systemd
from infra.signals import StopFlag

_FIRST_PAUSE_S, _SECOND_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0, 30.0
"""What a single death costs is not to be felt; what dies again and again is given time to heal."""
_TICK_S = 1.0
_START_TIMEOUT_S = 3.0
"""How long processes that do not yet run the flow may take to stop: they have nothing to store."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """max_restarts: in a row, without having run for settled_s in between. drain_timeout_s: then they are killed."""

    max_restarts: int
    settled_s: float
    drain_timeout_s: float


@dataclass(frozen=True)
class _End:
    """How one run of the cluster has ended. code: of this process, None when it is to be started again."""

    code: int | None = None
    reason: str = ""
    ran_s: float = 0.0


class Supervisor:
    """Use it in the main thread, where signals arrive.

    start: spawns the cluster. stop: whether a stop was asked for before `run`.
    """

    def __init__(self, start: Callable[[], Cluster], policy: Policy, stop: StopFlag, systemd: Systemd) -> None:
        self._start = start
        self._policy = policy
        self._stop = stop
        self._systemd = systemd
        self._cluster: Cluster | None = None
        self._told: list[int] = []
        self._wakeup: socket.socket | None = None
        self._state = "starting"

    def live(self) -> list[str]:
        """What is wrong with the processes; asked from any thread."""
        cluster = self._cluster
        return cluster.silent if cluster is not None else []

    def ready(self) -> list[str]:
        """What is not ready; asked from any thread."""
        cluster = self._cluster
        if cluster is None or self._told:
            return [f"the cluster is {self._state}"]
        return cluster.readiness.missing

    def run(self) -> int:
        """Until the flow has ended, was drained, or was aborted; the exit code.

        Raises ChildFailed when it cannot go on, with one line that says why.
        """
        restarts = 0
        with self._signals():
            while True:
                end = self._run_once()
                if end.code is not None:
                    return end.code
                restarts = 1 if end.ran_s >= self._policy.settled_s else restarts + 1
                if restarts > self._policy.max_restarts:
                    raise ChildFailed(
                        f"{end.reason}: given up, for it did so {restarts} times without having run for "
                        f"{self._policy.settled_s:g} s in between; what was said above tells why "
                        f"(worker.max_restarts = {self._policy.max_restarts})"
                    )
                pause_s = _pause_s(restarts)
                self._say(f"restarting in {pause_s:g} s", f"{end.reason}; ", level=logging.WARNING)
                self._pause(pause_s)
                if self._told:
                    return self._ended()
                metrics.RESTARTS.inc()

    def _run_once(self) -> _End:
        self._say("starting")
        cluster = self._cluster = self._start()
        try:
            return self._watch(cluster)
        finally:
            self._cluster = None
            cluster.close()

    def _watch(self, cluster: Cluster) -> _End:
        running_since_s: float | None = None
        deadline_s: float | None = None
        while True:
            self._wait(_TICK_S if deadline_s is None else min(_TICK_S, deadline_s - monotonic()))
            running = cluster.running
            cluster.hear()
            if running_since_s is None and not cluster.readiness.missing:
                running_since_s = monotonic()
                self._runs(cluster)
            told = deadline_s is not None
            if (self._told or cluster.failed) and not told:
                deadline_s = monotonic() + (
                    _START_TIMEOUT_S if running_since_s is None else self._policy.drain_timeout_s
                )
                self._say("stopping", f"told by {signal.Signals(self._told[0]).name}; " if self._told else "")
                self._systemd.stopping(self._state)
                cluster.drain()
                continue
            if len(self._told) > 1:
                self._say("aborted", "told once more; what was not stored is read again at the next start; ")
                return _End(128 + self._told[-1])
            death = cluster.death(told=told)
            # One that has drained may say last of all why it had to; the others drain on meanwhile.
            if death is not None and (death.killed or not told or not running):
                ran_s = monotonic() - running_since_s if running_since_s is not None else 0.0
                return self._died(cluster, death.reason, ran_s, told=told)
            if not running:
                return _End(self._ended())
            if deadline_s is not None and monotonic() >= deadline_s:
                return self._overdue(cluster, flowing=running_since_s is not None)

    def _runs(self, cluster: Cluster) -> None:
        self._say("running", f"processes {', '.join(str(pid) for pid in sorted(cluster.pids))}; ")
        self._systemd.ready(self._state)

    def _died(self, cluster: Cluster, death: str, ran_s: float, *, told: bool) -> _End:
        cluster.kill()
        cluster.hear()
        if cluster.refused is not None:
            raise ChildFailed(cluster.refused)
        if told:
            raise ChildFailed(f"{death} while it stopped; what it had not stored is read again at the next start")
        return _End(reason=death, ran_s=ran_s)

    def _overdue(self, cluster: Cluster, *, flowing: bool) -> _End:
        cluster.kill()
        if not flowing:
            return _End(self._ended())
        raise ChildFailed(
            f"not drained within worker.drain_timeout = {self._policy.drain_timeout_s:g} s: killed; what was not "
            "stored is read again at the next start"
        )

    def _ended(self) -> int:
        self._say("ended well")
        return 0

    def _say(self, state: str, why: str = "", *, level: int = logging.INFO) -> None:
        self._state = state
        logger.log(level, "cluster: %s%s", why, state)
        self._systemd.status(why + state)

    def _pause(self, seconds: float) -> None:
        deadline_s = monotonic() + seconds
        while not self._told and (left_s := deadline_s - monotonic()) > 0:
            self._wait(min(_TICK_S, left_s))

    def _wait(self, seconds: float) -> None:
        """Until a signal, also the end of a child, something a process says, or so long."""
        if self._wakeup is None:
            raise RuntimeError("waits in run() only")
        fds = [self._wakeup.fileno(), *(self._cluster.fds if self._cluster is not None else ())]
        select.select(fds, [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            self._wakeup.recv(4096)
        if not self.live():
            self._systemd.alive()
        if os.getpid() == 1:
            reap_orphans(self._cluster.pids if self._cluster is not None else set())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """While it runs, signals are counted and wake it up."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wakeup = reader
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [(number, signal.signal(number, lambda got, _: self._told.append(got))) for number in numbers]
        # Its default is to be ignored, and then nothing wakes up.
        before.append((signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda *_: None)))
        before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if self._stop.is_set():
            self._told.append(signal.SIGTERM)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before:
                signal.signal(number, handler)
            self._wakeup = None
            reader.close()
            writer.close()


def _pause_s(restarts: int) -> float:
    """How long to wait before the first restart in a row, the second, ..."""
    if restarts == 1:
        return _FIRST_PAUSE_S
    return min(_SECOND_PAUSE_S * 2.0 ** (restarts - 2), _LONGEST_PAUSE_S)


def reap_orphans(ours: set[int]) -> None:
    """As process 1 of a container: take leave of processes whose parents are gone. ours: others ask for how they ended.

    The kernel shows them one after the other; behind one of ours they have to wait until it has been asked for.
    """
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in ours:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)
