"""A service of the embedded default, in a process of its own: started, also again, watched, stopped."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from infra.embedded.process import ChildFailed, ChildProcess


class ChildService(ABC):
    """name: how messages call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: ChildProcess | None = None

    @abstractmethod
    def _make(self) -> ChildProcess:
        """The process to start. Raises ChildFailed when it is not installed."""

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start it, or start it again after `stop` or `kill`, and wait until it can be used.

        Raises ChildFailed, with the end of its log, when it cannot (port taken, data directory in use or damaged);
        StartCancelled when `cancelled()` turns true.
        """
        self._process = self._make()
        self._process.start(cancelled=cancelled)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child().pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit code, or minus the signal that ended it."""
        return self._child().returncode

    def stop(self) -> int | None:
        """Let it end in good order; its exit code, None when it was never started. May be called again."""
        return self._process.stop() if self._process else None

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._child().kill()

    def failure(self) -> ChildFailed:
        """What to say when it has ended by itself."""
        return self._child().failure()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _child(self) -> ChildProcess:
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process
