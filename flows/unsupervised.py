"""What a worker without a supervisor does for itself: it tells systemd how it is, and ends a drain that takes too long.

Who starts it, systemd or a container, starts it again.
"""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep

from flows.readiness import BEAT_S, Readiness
from infra.observe.systemd import Systemd

logger = logging.getLogger(__name__)


class OwnReport:
    """How far this process is; see flows.readiness.Report. stop: to be set when a source fails."""

    def __init__(self, stop: Event, systemd: Systemd) -> None:
        self._readiness = Readiness()
        self._stop = stop
        self._systemd = systemd

    @property
    def missing(self) -> list[str]:
        """What is not ready, one line each; asked from any thread."""
        return ["the flow is stopping"] if self._stop.is_set() else self._readiness.missing

    def reached(self, partitions: Collection[str]) -> None:
        """See Report."""
        self._readiness.reached(0, partitions)

    def takes(self, partition: str) -> None:
        """See Report."""
        waited = bool(self._readiness.missing)
        self._readiness.takes(partition)
        if waited and not self._readiness.missing:
            self._systemd.ready("running")

    def failed(self) -> None:
        """See Report."""
        self._stop.set()

    def refused(self, message: str) -> None:
        """It is said by the command."""


@contextmanager
def beating(stop: Event, systemd: Systemd, *, drain_timeout_s: float) -> Iterator[None]:
    """While in the block, a thread tells systemd every second that this process lives.

    Once `stop` is set the block has to be left within drain_timeout_s; else the process ends with exit code 1.
    """
    ended = Event()

    def beat() -> None:
        deadline_s: float | None = None
        while not ended.is_set():
            systemd.alive()
            if stop.is_set() and deadline_s is None:
                deadline_s = monotonic() + drain_timeout_s
                systemd.stopping("stopping")
            if deadline_s is not None and monotonic() >= deadline_s:
                logger.error(
                    "not drained within worker.drain_timeout = %g s: ended; what was not stored is read again at the "
                    "next start",
                    drain_timeout_s,
                )
                os._exit(1)
            sleep(BEAT_S)

    Thread(target=beat, name="beat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
