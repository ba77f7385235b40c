"""Starts services in order, watches them, stops them in reverse order, whatever happens in between.

    with Supervisor() as supervisor:
        broker = supervisor.start(Broker(...))
        clickhouse = supervisor.start(EmbeddedClickHouse(...))
        supervisor.start(ChildProcess("flow", [...broker.bootstrap...], log=...))
        supervisor.watch()

Ctrl-C, SIGTERM and a closed terminal end `start` and `watch` and then the `with`, without an exception: ask
`stop.is_set()` afterwards. A service that ends by itself ends them all, with ChildFailed. Services are in sessions of
their own (see `process.py`), so no signal reaches them but through here, and none outlives us.
"""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Protocol, Self, TypeVar

from infra.embedded.process import ChildFailed, StartCancelled
from infra.signals import StopFlag

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.05


class Service(Protocol):
    """What can be supervised: a ChildProcess, and what wraps one."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        ...

    def start(self, *, cancelled: Callable[[], bool]) -> None:
        """Start and wait until ready; raises ChildFailed, or StartCancelled when `cancelled()` turns true."""
        ...

    def stop(self) -> int | None:
        """Stop it within a bounded time."""
        ...

    def failure(self) -> ChildFailed:
        """What to say when it has ended by itself."""
        ...


S = TypeVar("S", bound=Service)


class Supervisor:
    """Use it in the main thread, where signals arrive."""

    def __init__(self) -> None:
        """`stop` is set by Ctrl-C, SIGTERM and SIGHUP."""
        self._services: list[tuple[Service, bool]] = []
        self.stop = StopFlag()
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def start(self, service: S, *, may_end: bool = False) -> S:
        """Start a service and wait until it is ready; it is stopped after those that are started later.

        may_end: ending with exit code 0 is its normal end, not a failure.
        Raises ChildFailed for it, or for one that was started before and has ended meanwhile.
        """
        self.check()
        service.start(cancelled=self.stop.is_set)
        self._services.append((service, may_end))
        return service

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until a stop is requested or `until()` is true. Raises ChildFailed when a service ends by itself."""
        while not (self.stop.is_set() or until()):
            self.check()
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raises ChildFailed when a service has ended by itself."""
        for service, may_end in self._services:
            if service.returncode is not None and not (may_end and service.returncode == 0):
                raise service.failure()

    def __enter__(self) -> Self:
        for signum in _STOP_SIGNALS:
            self._handlers[signum] = signal.signal(signum, self._request_stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            self._stop_all()
        finally:
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)
        return isinstance(error, StartCancelled)

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop.set()

    def _stop_all(self) -> None:
        """Stop every service, last started first; the first error is raised when all have been stopped."""
        errors: list[Exception] = []
        while self._services:
            service, _ = self._services.pop()
            try:
                service.stop()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
