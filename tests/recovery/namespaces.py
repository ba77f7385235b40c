"""Two hosts on one machine: network namespaces with a cable between them that can be pulled.

A namespace lives as long as a process in it, so that nothing is left behind however a test ends.
"""

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from infra.embedded.process import ChildFailed, ChildProcess
from tests.recovery.proxy import Proxy

_CLONE_NEWNET = 0x40000000
_CABLE = "cable"
_READY_S = 10.0


class Impossible(Exception):
    """This machine cannot do it; the message says why, in one line."""


class Namespace:
    """A host with one cable. address: its own at the cable."""

    def __init__(self, name: str, address: str, *, log: Path) -> None:
        self.address = address
        self._holder = ChildProcess(
            name, ["unshare", "--net", "sleep", "infinity"], log=log, ready=self._is_apart, ready_timeout_s=_READY_S
        )
        try:
            self._holder.start()
            self.run("ip", "link", "set", "lo", "up")
        except (ChildFailed, subprocess.CalledProcessError) as error:
            self.close()
            raise Impossible(f"no network namespaces: {str(error).splitlines()[-1]}") from None

    @property
    def file(self) -> str:
        """What stands for the namespace."""
        return f"/proc/{self._holder.pid}/ns/net"

    @property
    def enter(self) -> list[str]:
        """What to put before a command that is to run on this host."""
        return ["nsenter", f"--net={self.file}"]

    @property
    def pid(self) -> str:
        """Of a process in it."""
        return str(self._holder.pid)

    def run(self, *command: str) -> None:
        """A command on this host, to its end. Raises CalledProcessError."""
        subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True)

    def listen(self) -> socket.socket:
        """A free loopback port of this host."""
        made: list[socket.socket] = []
        # A thread is in a namespace for itself, and a socket stays where it was made.
        thread = threading.Thread(target=self._listen, args=(made,))
        thread.start()
        thread.join()
        return made[0]

    def close(self) -> None:
        """Be gone, with the cable."""
        self._holder.stop()

    def _listen(self, made: list[socket.socket]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(self.file, "rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server(("127.0.0.1", 0)))

    def _is_apart(self) -> bool:
        try:
            return os.readlink(self.file) != os.readlink("/proc/self/ns/net")
        except OSError:
            return False


class Cable:
    """Between two hosts."""

    def __init__(self, one: Namespace, other: Namespace) -> None:
        self._one = one
        peer = ["peer", "name", _CABLE, "netns", other.pid]
        subprocess.run(
            ["ip", "link", "add", _CABLE, "netns", one.pid, "type", "veth", *peer], check=True, capture_output=True
        )
        for host in (one, other):
            host.run("ip", "address", "add", f"{host.address}/24", "dev", _CABLE)
            host.run("ip", "link", "set", _CABLE, "up")

    def pull(self) -> None:
        """Nothing comes through from now on."""
        self._one.run("ip", "link", "set", _CABLE, "down")

    def plug(self) -> None:
        """As before."""
        self._one.run("ip", "link", "set", _CABLE, "up")


@contextmanager
def two_hosts(home: Path) -> Iterator[tuple[Namespace, Namespace, Cable]]:
    """Two hosts and the cable between them. Raises Impossible."""
    if missing := [tool for tool in ("ip", "nsenter", "unshare") if shutil.which(tool) is None]:
        raise Impossible(f"no network namespaces: {', '.join(missing)} not found (Debian: iproute2, util-linux)")
    hosts: list[Namespace] = []
    try:
        for name, address in (("host A", "10.0.0.1"), ("host B", "10.0.0.2")):
            hosts.append(Namespace(name, address, log=home / f"{name}.log"))
        try:
            cable = Cable(*hosts)
        except subprocess.CalledProcessError as error:
            raise Impossible(f"no cable between network namespaces: {str(error.stderr).strip()}") from None
        yield hosts[0], hosts[1], cable
    finally:
        for host in hosts:
            host.close()


class Doorway(Proxy):
    """A loopback port of this machine, to be had on a loopback port of a host."""

    def __init__(self, host: Namespace, upstream_port: int, *, kafka: bool = False) -> None:
        self._host = host
        super().__init__(upstream_port, kafka=kafka)

    @override
    async def _listen(self) -> None:
        door = self._host.listen()
        self.port = door.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=door)
