"""TLS before services that have none: a front that ends it, and can demand a certificate of its clients.

With blocking sockets: asyncio closes a connection whose handshake fails without telling the client why.
"""

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.certificates import Authority

_HOST = "127.0.0.1"
_TICK_S = 0.05


def server_context(certificate: tuple[Path, Path], *, clients_of: Authority | None = None) -> ssl.SSLContext:
    """How a server speaks TLS. certificate: its own and its key. clients_of: whose certificates clients must show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_of.ca)
    return context


class TlsFront:
    """Listens on a loopback port of its own with TLS and passes on in plain to `upstream_port`.

    kafka: brokers tell clients where they are; that is replaced by where this is.
    """

    def __init__(self, upstream_port: int, context: ssl.SSLContext, *, kafka: bool = False) -> None:
        self._upstream_port = upstream_port
        self._context = context
        self._kafka = kafka
        self._ends = threading.Event()
        self._listener = socket.create_server((_HOST, 0))
        self._listener.settimeout(_TICK_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ends.is_set():
            with suppress(TimeoutError):
                accepted, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(accepted,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.settimeout(5)
        with (
            accepted,
            suppress(OSError),
            self._context.wrap_socket(accepted, server_side=True) as client,
            socket.create_connection((_HOST, self._upstream_port)) as upstream,
        ):
            self._pass_on(client, upstream)

    def _pass_on(self, client: ssl.SSLSocket, upstream: socket.socket) -> None:
        was, instead = (_HOST.encode() + port.to_bytes(4, "big") for port in (self._upstream_port, self.port))
        while not self._ends.is_set():
            ready = [client] if client.pending() else select.select([client, upstream], [], [], _TICK_S)[0]
            if client in ready:
                if not (sent := client.recv(65_536)):
                    return
                upstream.sendall(sent)
            if upstream in ready:
                if not (answer := upstream.recv(65_536)):
                    return
                # Of the same length, and whole in the short answers that clients ask for first.
                client.sendall(answer.replace(was, instead) if self._kafka else answer)
