"""The processes of a cluster on this machine, from their start to their end: spawned, listened to, told, killed."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from time import monotonic, sleep
from typing import NamedTuple

from flows.readiness import Readiness
from infra.embedded.watchdog import Watchdog, kill_group

SILENT_S = 30.0
"""A process that has not said for so long that it lives is stopped, or so busy that it is as good as stopped."""

_CHUNK_BYTES = 65_536
_LISTENING = "0A"
_POLL_S = 0.01

Command = Callable[[int, Sequence[str], int], list[str]]
"""What to run as process number i, given all addresses and the file descriptor that it reports on."""


def free_addresses(processes: int) -> list[str]:
    """Loopback addresses for the processes to find each other; none for one alone."""
    if processes == 1:
        return []
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(processes)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def wait_for_earlier(process: int, addresses: Sequence[str], *, within_s: float) -> None:
    """Until the processes before this one listen: asked too early, Bytewax asks again only after a second.

    Not found out by connecting, which they would take for the process itself. Where the kernel does not list its
    sockets nothing is waited for.
    """
    ports = {f"{int(address.rpartition(':')[2]):04X}" for address in addresses[:process]}
    deadline_s = monotonic() + within_s
    try:
        while not ports <= _listening() and monotonic() < deadline_s:
            sleep(_POLL_S)
    except OSError:
        return


def _listening() -> set[str]:
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    return {field[1].rpartition(":")[2] for field in fields if field[3] == _LISTENING}


class Death(NamedTuple):
    """How a process has ended that should not have. killed: by a signal, from outside or by a fault of its own."""

    reason: str
    killed: bool


class Cluster:
    """One run of the processes with these numbers, of as many as there are addresses.

    Not for more than one thread, but for what only asks.
    """

    def __init__(
        self, command: Command, processes: Sequence[int], addresses: Sequence[str], watchdog: Watchdog
    ) -> None:
        self.readiness = Readiness(processes, over_hosts=len(processes) < len(addresses))
        self.failed = False
        """A process has said that the flow is to drain."""
        self.refused: str | None = None
        """What a process has ended of, in words for people; starting again does not heal it."""
        self._watchdog = watchdog
        self._members: list[_Member] = []
        try:
            for number in processes:
                self._members.append(_Member(number, command, addresses, watchdog))
        except BaseException:
            self.close()
            raise

    @property
    def fds(self) -> list[int]:
        """Readable when a process has something to say, or has ended. `hear` shortens the list."""
        return [member.fd for member in self._members if member.fd >= 0]

    @property
    def pids(self) -> set[int]:
        """Process ids, also of those that have ended."""
        return {member.process.pid for member in self._members}

    @property
    def running(self) -> bool:
        """Whether any process still runs."""
        return any(member.process.poll() is None for member in self._members)

    @property
    def silent(self) -> list[str]:
        """Processes that do not say that they live, one line each."""
        ages = [(member.number, monotonic() - member.beat_s) for member in self._members if member.fd >= 0]
        return [f"process {number} has been silent for {age:.0f} s" for number, age in ages if age > SILENT_S]

    def hear(self) -> None:
        """Take in what the processes have said."""
        for member in self._members:
            for word, *more in member.hear():
                match word:
                    case "reached":
                        self.readiness.reached(member.number, more)
                    case "takes":
                        self.readiness.takes(more[0])
                    case "failed":
                        self.failed = True
                    case "refused":
                        self.refused = self.refused or more[0]

    def death(self, *, told: bool) -> Death | None:
        """Of which process the cluster has died, and how; None while all is well.

        told: they were asked to stop, with a signal that ends one that is not far enough to understand it.
        """
        codes = [(member.process.poll(), member.number) for member in self._members]
        bad = [(code, number) for code, number in codes if code and not (told and code == -SIGTERM)]
        if not bad:
            return None
        # Who was killed from outside took the others along.
        code, number = min(bad)
        if code < 0:
            return Death(f"process {number} died with signal {-code} ({Signals(-code).name})", killed=True)
        return Death(f"process {number} ended with exit code {code}", killed=False)

    def drain(self) -> None:
        """Ask all to stop, in good order."""
        for member in self._members:
            if member.process.poll() is None:
                kill_group(member.process.pid, SIGTERM)

    def kill(self) -> None:
        """End all, and what they have started, at once."""
        for member in self._members:
            kill_group(member.process.pid, SIGKILL)
        for member in self._members:
            member.process.wait()

    def close(self) -> None:
        """Leave nothing behind; whoever still runs is killed."""
        self.kill()
        self.hear()
        for member in self._members:
            self._watchdog.remove(member.process.pid)
            member.close()


class _Member:
    def __init__(self, number: int, command: Command, addresses: Sequence[str], watchdog: Watchdog) -> None:
        self.number = number
        self.beat_s = monotonic()
        self._rest = b""
        self.fd, theirs = os.pipe()
        os.set_blocking(self.fd, False)
        argv = command(number, addresses, theirs)
        try:
            # A session of its own: Ctrl-C reaches it through us only, for one process told alone would hang the others.
            self.process = watchdog.adopt(
                lambda: subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(theirs,), start_new_session=True)
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(theirs)

    def hear(self) -> list[list[str]]:
        """What it has said since."""
        said = b""
        while self.fd >= 0:
            try:
                chunk = os.read(self.fd, _CHUNK_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                self.close()
            said += chunk
        if said:
            self.beat_s = monotonic()
        *lines, self._rest = (self._rest + said).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
