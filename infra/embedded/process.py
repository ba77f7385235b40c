"""A child process that is started, waited for, watched, stopped, and never outlives this process.

    with ChildProcess("broker", ["noida-db", ...], log=logs / "broker.log", ready=answers) as broker:
        ...

It runs in a session of its own, so Ctrl-C in the terminal reaches it only through us, and what it starts itself is
stopped with it. When this process dies without stopping it, the watchdog ends it.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

from infra.embedded.watchdog import Watchdog, kill_group

_POLL_S = 0.02
_STRAGGLERS_S = 1.0
_LOG_KEEP_BYTES = 10_000_000
_TAIL_BYTES = 8_192

_watchdog = Watchdog()


class ChildFailed(Exception):
    """A child did not start, did not become ready, or ended by itself; the message holds the end of its log."""


class StartCancelled(Exception):
    """Waiting for a child was given up because `cancelled()` said so."""


class ChildProcess:
    """One child process, started at most once.

    name: how messages call it.
    argv: the program and its arguments; no shell.
    log: file that takes its output; appended to, begun afresh when over 10 MB.
    env: variables set in addition to our own.
    ready: says whether it can be used; asked every 20 ms, must return within a second or so, must not raise.
    ready_timeout_s: how long it may take until then.
    stop_signal, stop_timeout_s: how it is asked to stop, and how long it may take before it is killed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        ready_timeout_s: float = 30.0,
        stop_signal: Signals = SIGTERM,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._env = dict(env or {})
        self._ready = ready
        self._ready_timeout_s = ready_timeout_s
        self._stop_signal = stop_signal
        self._stop_timeout_s = stop_timeout_s
        self._popen: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._log_start = 0

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start it and wait until it is ready.

        Raises ChildFailed when it cannot be started, ends, or is not ready in time; StartCancelled when `cancelled()`
        turns true. In every such case it has been stopped.
        """
        self._spawn()
        if self._ready is None:
            return
        deadline = time.monotonic() + self._ready_timeout_s
        try:
            while not self._ready():
                if self.returncode is not None:
                    raise self.failure()
                if cancelled():
                    raise StartCancelled(self.name)
                if time.monotonic() > deadline:
                    raise ChildFailed(
                        f"{self.name} was not ready within {self._ready_timeout_s:g} s{self._last_words()}"
                    )
                time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit code, or minus the signal that ended it."""
        return self._started().poll()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code once it has ended, None when it has not after `timeout_s`."""
        try:
            return self._started().wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> int | None:
        """Ask it and all it started to stop, kill what has not after the time given; its exit code.

        None when it was never started. May be called again.
        """
        if self._popen is None:
            return None
        pgid = self._popen.pid
        if self._popen.returncode is None:
            kill_group(pgid, self._stop_signal)
            self.wait(self._stop_timeout_s)
        return self._end(stragglers_s=_STRAGGLERS_S)

    def kill(self) -> None:
        """End it and all it started at once, as kill -9 does."""
        self._started()
        self._end(stragglers_s=0)

    def failure(self) -> ChildFailed:
        """What to say when it has ended by itself."""
        code = self.returncode
        how = f"was ended by {Signals(-code).name}" if code is not None and code < 0 else f"ended with exit code {code}"
        return ChildFailed(f"{self.name} {how}{self._last_words()}")

    def log_tail(self, *, lines: int = 15) -> str:
        """The last lines it wrote to its log; "" when there are none."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        if self._popen is not None:
            raise RuntimeError(f"{self.name} was already started; make a new ChildProcess")
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.log.exists() or self.log.stat().st_size > _LOG_KEEP_BYTES
            with self.log.open("wb" if fresh else "ab") as log:
                self._log_start = log.tell()
                self._popen = _watchdog.adopt(
                    lambda: subprocess.Popen(
                        self._argv,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=os.environ | self._env,
                        start_new_session=True,
                    )
                )
        except OSError as error:
            raise ChildFailed(f"{self.name} cannot be started: {error}") from None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._popen

    def _end(self, *, stragglers_s: float) -> int:
        """Wait so long for the rest of the group, kill what is left, and be done with it."""
        popen = self._started()
        if self._ended:  # the number of its group may belong to others by now
            return popen.wait()
        deadline = time.monotonic() + stragglers_s
        while popen.poll() is not None and kill_group(popen.pid, 0) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        kill_group(popen.pid, SIGKILL)
        code = popen.wait()
        _watchdog.remove(popen.pid)
        self._ended = True
        return code

    def _last_words(self) -> str:
        tail = self.log_tail()
        return f". The end of {self.log}:\n{tail}" if tail else f" and wrote nothing to {self.log}"
