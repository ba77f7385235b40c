"""A request to stop, set from signal handlers."""

import os
import signal
import time
from threading import Event
from types import FrameType

_POLL_S = 0.05


class StopFlag(Event):
    """An Event that a signal handler may set: it takes no lock, which the interrupted code could be holding."""

    def __init__(self) -> None:
        super().__init__()
        self._requested = False

    def set(self) -> None:
        """Request the stop."""
        self._requested = True

    def is_set(self) -> bool:
        """Whether it was requested."""
        return self._requested

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the request, at most `timeout` seconds; whether it was made."""
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while not self._requested:
            left_s = _POLL_S if deadline_s is None else min(_POLL_S, deadline_s - time.monotonic())
            if left_s <= 0:
                break
            time.sleep(left_s)
        return self._requested


def stop_on_signals() -> StopFlag:
    """A flag that SIGTERM and SIGINT set, so that work ends in good order. A second one ends the process at once.

    At once also as process 1 of a container, to which a signal left at its default does nothing, and whatever the main
    thread is in: an exception would have to find its way through the flow first.
    """
    stop = StopFlag()

    def told(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + signum)
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def ignore_signals() -> None:
    """All is done; told once more, Python's own end would be taken for a failure."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
