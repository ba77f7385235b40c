"""What the ClickHouse tests share: a database of one's own, and a wire that can be cut."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from clickhouse_connect.driver.client import Client

from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect


@contextmanager
def database(port: int) -> Iterator[tuple[Address, Client]]:
    """A database with all tables that nobody else uses, gone afterwards."""
    address = Address(port=port, database=f"test_{uuid.uuid4().hex[:12]}")
    client = connect(address)
    try:
        migrate.init(client)
        yield address, client
    finally:
        client.command(f"DROP DATABASE IF EXISTS `{address.database}`", use_database=False)
        client.close()


def until(what: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait for something that announces itself by no event."""
    deadline_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.005)


class Wire:
    """A TCP connection point in front of a server; cut, it breaks what goes through and refuses what comes."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._whole = threading.Event()
        self._whole.set()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    @property
    def port(self) -> int:
        """Where to connect instead."""
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Break it."""
        self._whole.clear()
        for end in list(self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everything through again."""
        self._whole.set()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._whole.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to_port))
            self._sockets |= {near, far}
            done = threading.Barrier(2, action=partial(self._hang_up, near, far))
            self._spawn(self._pump, near, far, done)
            self._spawn(self._pump, far, near, done)

    def _pump(self, source: socket.socket, target: socket.socket, done: threading.Barrier) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        done.wait()

    def _hang_up(self, *ends: socket.socket) -> None:
        for end in ends:
            self._sockets.discard(end)
            end.close()
