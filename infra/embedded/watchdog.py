"""Ends process groups when the process that started them is gone, however it went (also kill -9).

Runs as a script of its own, beside the supervising process, which holds the other end of its standard input: the
kernel closes that end when the process dies, so nothing has to be noticed or polled. Lines on standard input: `+ PGID`
watches a process group, `- PGID` forgets it. PR_SET_PDEATHSIG would do less: it does not reach grandchildren, does not
exist on macOS, and fires when the *thread* that started the child ends.

This file imports the standard library only and nothing of this project: it runs isolated (`python -I -S`).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable


def kill_group(pgid: int, signum: int = signal.SIGKILL) -> bool:
    """Signal every process of a group; False when there is none left to signal."""
    try:
        os.killpg(pgid, signum)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return False
    return True


class Watchdog:
    """Starts the script with the first group to watch and ends it with the last. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._script: subprocess.Popen[bytes] | None = None

    def adopt(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Start a child as the leader of a group of its own; from then on the group dies with this process."""
        with self._lock:
            if self._script is None or self._script.poll() is not None:
                argv = [sys.executable, "-I", "-S", __file__]
                self._script = subprocess.Popen(argv, bufsize=0, stdin=subprocess.PIPE, start_new_session=True)
                for pgid in self._groups:
                    self._tell(self._script, f"+ {pgid}\n")
            child = start()
            self._groups.add(child.pid)
            self._tell(self._script, f"+ {child.pid}\n")
            return child

    def remove(self, pgid: int) -> None:
        """The group has ended: its number may soon belong to others."""
        with self._lock:
            self._groups.discard(pgid)
            if self._script is None:
                return
            self._tell(self._script, f"- {pgid}\n")
            if not self._groups:
                self._script.communicate()
                self._script = None

    @staticmethod
    def _tell(script: subprocess.Popen[bytes], line: str) -> None:
        assert script.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # someone killed the watchdog: the children still run
            script.stdin.write(line.encode())


def watch(lines: Iterable[bytes]) -> set[int]:
    """Read orders until the end of the stream; the groups that are then still watched."""
    groups: set[int] = set()
    for line in lines:
        order, pgid = line.split()
        if order == b"+":
            groups.add(int(pgid))
        else:
            groups.discard(int(pgid))
    return groups


if __name__ == "__main__":
    for group in watch(sys.stdin.buffer):
        kill_group(group)
