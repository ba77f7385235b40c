"""Several worker processes as one cluster on this machine: started, told and ended together."""

import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from signal import SIGKILL, SIGTERM
from threading import Event

from infra.embedded.watchdog import Watchdog, kill_group

_POLL_S = 0.1


def free_addresses(processes: int) -> list[str]:
    """Loopback addresses for the processes to find each other."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(processes)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def run_cluster(argv: Callable[[int, Sequence[str]], list[str]], processes: int, stop: Event) -> int:
    """Run to the end; the exit code: 0 when all ended well.

    argv: the command of process number i, given all addresses. When one process ends badly the others cannot go on
    alone: all are stopped. When `stop` is set all drain.
    """
    addresses = free_addresses(processes)
    watchdog = Watchdog()
    children = [_spawn(watchdog, argv(number, addresses)) for number in range(processes)]
    told = False
    try:
        while any(child.poll() is None for child in children):
            if not told and any(child.poll() not in (None, 0) for child in children):
                break
            if stop.is_set() and not told:
                told = True
                for child in children:
                    kill_group(child.pid, SIGTERM)
            _wait(children)
    finally:
        _end(children)
        for child in children:
            watchdog.remove(child.pid)
    return _exit_code([child.returncode for child in children], told=told)


def _exit_code(codes: Sequence[int], *, told: bool) -> int:
    """The one of the process that said what was wrong, else of one that was ended from outside."""
    # A process that was told while it started, or after it had drained, is ended by the signal itself.
    bad = [code for code in codes if code and not (told and code == -SIGTERM)]
    return abs(max(bad, default=0))


def _spawn(watchdog: Watchdog, argv: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches it through us only, for one process told alone would hang the others.
    return watchdog.adopt(lambda: subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True))


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> None:
    running = next((child for child in children if child.poll() is None), None)
    if running is not None:
        try:
            running.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            return


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Bytewax ends the other processes of a cluster when one dies; what still runs then is killed."""
    for child in children:
        if child.poll() is None:
            try:
                child.wait(_POLL_S * 10)
            except subprocess.TimeoutExpired:
                kill_group(child.pid, SIGKILL)
                child.wait()
