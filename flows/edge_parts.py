"""The processes of a device: started in order, started again one by one when they end, stopped in reverse order.

When the log ends by itself, all that read it are stopped and started anew after it: what it had not yet on disk it has
forgotten, and readers have to stand at its end before it is written again.
"""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from typing_extensions import override

from infra.embedded.process import ChildFailed, ChildProcess
from infra.embedded.service import ChildService
from infra.observe.systemd import Systemd
from infra.signals import StopFlag

_TICK_S = 0.1
_ASK_S = 2.0
_PAUSES_S = (0.5, 30.0)
_SETTLED_S = 60.0
"""Who has run for so long has come past what it died of."""

logger = logging.getLogger(__name__)


class Command(ChildService):
    """A command of ours that answers /health/ready and /metrics on a port of loopback.

    environment: variables, asked for at each start.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        *,
        log: Path,
        port: int,
        stop_s: float,
    ) -> None:
        super().__init__(name)
        self._argv, self._environment, self._log = argv, environment, log
        self._port, self._stop_s = port, stop_s

    @override
    def _make(self) -> ChildProcess:
        environment = self._environment()
        return ChildProcess(self.name, self._argv, log=self._log, env=environment, stop_timeout_s=self._stop_s)

    def missing(self) -> list[str]:
        """What keeps it from work."""
        with suppress(OSError, HTTPException, ValueError, KeyError):
            told: list[str] = json.loads(self._ask("/health/ready"))["missing"]
            return told
        return ["does not answer yet"]

    def metrics(self) -> bytes:
        """Its page, empty when there is none."""
        with suppress(OSError, HTTPException):
            return self._ask("/metrics")
        return b""

    def _ask(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=_ASK_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@dataclass
class Part:
    """wait_s: how long it may take to be ready before those after it are started; all that follow need one that is a
    base, and end with it.
    """

    service: ChildService
    wait_s: float = 0.0
    base: bool = False
    failures: int = 0
    since_s: float = field(default=0.0)
    due_s: float | None = None
    """When to start it again; None while it runs."""


class Keeper:
    """For the main thread; what only asks may be asked from any."""

    def __init__(self, parts: Sequence[Part], stop: StopFlag, systemd: Systemd) -> None:
        self._parts, self._stop, self._systemd = parts, stop, systemd

    def start(self) -> None:
        """All, in order. Raises ChildFailed for one that cannot be started, StartCancelled when told to stop."""
        for number in range(len(self._parts)):
            self._start(number)

    def watch(self) -> None:
        """Until told to stop."""
        while not self._stop.is_set():
            self._systemd.alive()
            for number, part in enumerate(self._parts):
                if self._stop.is_set():
                    return
                if part.due_s is None and part.service.returncode is not None:
                    self._died(number)
                elif part.due_s is not None and time.monotonic() >= part.due_s:
                    self._again(number)
            time.sleep(_TICK_S)

    def stop(self) -> list[str]:
        """All, in reverse order; names of those that did not end well."""
        codes = [(part.service.name, part.service.stop()) for part in reversed(self._parts)]
        return [name for name, code in codes if code not in (None, 0)]

    def missing(self) -> list[str]:
        """What is not ready, one line each."""
        found = []
        for part in self._parts:
            name = part.service.name
            if part.due_s is not None:
                found.append(f"{name}: it ended, and is started again")
            elif isinstance(part.service, Command):
                found += [f"{name}: {one}" for one in part.service.missing()]
        return found

    def metrics(self) -> dict[str, bytes]:
        """Pages of those that have one, by name."""
        commands = [part.service for part in self._parts if isinstance(part.service, Command)]
        return {one.name: page for one in commands if (page := one.metrics())}

    def _start(self, number: int) -> None:
        part = self._parts[number]
        part.service.start(cancelled=self._stop.is_set)
        part.due_s, part.since_s = None, time.monotonic()
        deadline_s = part.since_s + part.wait_s
        while isinstance(part.service, Command) and time.monotonic() < deadline_s and part.service.missing():
            if part.service.returncode is not None:
                raise _in_its_words(part.service.failure())
            if self._stop.is_set():
                return
            self._systemd.alive()
            time.sleep(_TICK_S)

    def _died(self, number: int) -> None:
        part = self._parts[number]
        first_s, most_s = _PAUSES_S
        part.failures = 1 if time.monotonic() - part.since_s > _SETTLED_S else part.failures + 1
        pause_s = min(most_s, first_s * 2 ** min(part.failures - 1, 10))
        logger.warning("%s; started again in %g s", _first_line(part.service.failure()), pause_s)
        part.service.stop()  # and what it has left behind
        part.due_s = time.monotonic() + pause_s
        if part.base:
            for other in reversed(self._parts[number + 1 :]):
                if other.due_s is None:
                    other.service.kill()  # to end in good order they would wait for it
                other.due_s = part.due_s

    def _again(self, number: int) -> None:
        """One part; those after a base follow in order, each once the one before is ready."""
        part = self._parts[number]
        waits, part.wait_s = part.wait_s, part.wait_s if self._after_base(number) else 0.0
        try:
            self._start(number)
        except ChildFailed:
            if part.service.returncode is None:
                raise
            self._died(number)
        finally:
            part.wait_s = waits

    def _after_base(self, number: int) -> bool:
        """Whether a base was just started, so that others still wait."""
        return any(other.due_s is not None for other in self._parts[number + 1 :])


def _in_its_words(failure: ChildFailed) -> ChildFailed:
    """The one line that a command of ours ends with when something is wrong that people can put right."""
    last = str(failure).splitlines()[-1]
    return ChildFailed(last.removeprefix("error ")) if last.startswith("error ") else failure


def _first_line(failure: ChildFailed) -> str:
    """With the last thing it said, where that is."""
    first, *more = str(failure).splitlines()
    return f"{first} {more[-1].strip()}" if more else first


def own_command(*words: str) -> list[str]:
    """This program once more."""
    return [sys.executable, "-m", "flows.cli", *words]


def free_port(wanted: int = 0) -> int:
    """One on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", wanted)) as place:
        port: int = place.getsockname()[1]
        return port


def sparing() -> dict[str, str]:
    """Environment in which glibc keeps one pool of memory, and gives freed pieces back."""
    return {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_MMAP_THRESHOLD_": "1048576"}


@contextmanager
def noted(file: Path) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Takes a data_dir for this process; gives what writes down where services are, for other commands: flows.local.

    Raises ChildFailed when another process has it.
    """
    pid = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        pid = int(json.loads(file.read_text())["pid"])
        os.kill(pid, 0)
        raise ChildFailed(f"{file.parent}: process {pid} uses it, `demo`, `up` or `edge`: stop it, or set data_dir")

    def write(told: Mapping[str, object]) -> None:
        file.write_text(json.dumps({"pid": os.getpid(), **told}))

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ChildFailed(f"data_dir = '{file.parent}': {error.strerror}; name another directory") from None
    try:
        yield write
    finally:
        file.unlink(missing_ok=True)
