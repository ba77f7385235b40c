"""The server: uvicorn, with what it lacks against slow and endless requests, and Kafka's reports let in beside it."""

import asyncio
import socket
import ssl
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.http.ports import Outlet
from infra.observe import metrics

_HEAD_S = 10.0
_HEAD_BYTES = 32_768
_KEEP_ALIVE_S = 60
_DRAIN_S = 10
_BUSY_S, _IDLE_S = 0.002, 0.02


BACKLOG = 1_024
"""Connections that wait to be accepted."""


class CannotServe(Exception):
    """Why it cannot listen, in words."""


class Server:
    """Serves an ASGI application on a socket until it is told to stop (SIGTERM, SIGINT or `stop`).

    Then it accepts nothing more, and lets requests that run end.
    """

    def __init__(self, app: Any, outlet: Outlet, *, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self._outlet = outlet
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=connections,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        config.load()
        if tls is not None:
            config.ssl = tls
        self._server = uvicorn.Server(config)

    def run(self, listener: socket.socket) -> None:
        """Raises what the outlet raises: then no reading can be taken in any more."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(listener))

    def stop(self) -> None:
        """From any thread."""
        self._server.should_exit = True

    async def _run(self, listener: socket.socket) -> None:
        pump = asyncio.create_task(self._let_reports_in())
        pump.add_done_callback(lambda _: self.stop())
        try:
            await self._server.serve(sockets=[listener])
        finally:
            pump.cancel()
            await asyncio.wait([pump])
        if not pump.cancelled():
            pump.result()

    async def _let_reports_in(self) -> None:
        outlet = self._outlet
        while True:
            outlet.serve()
            metrics.HTTP_WAITING.set(outlet.waiting_bytes)
            metrics.HTTP_UNDELIVERED.set(outlet.failed)
            await asyncio.sleep(_BUSY_S if outlet.waiting else _IDLE_S)


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose next request's head does not come in time, or does not end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if self._waiting is None and idle and self.timeout_keep_alive_task is None:
            self._await_head()  # something came that begins no request yet
        if self._waiting is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head of the request has more than {_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._waiting is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._waiting = self.loop.call_later(_HEAD_S, self._give_up)

    def _head_is_there(self) -> None:
        self._head_bytes = 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet; port 0 takes a free one. Raises CannotServe."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotServe(error.strerror or str(error)) from None
    return listener


def is_listening(host: str, port: int) -> bool:
    """Whether somebody answers there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def is_loopback(host: str) -> bool:
    """Whether only this machine gets there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(cert_file: str, key_file: str, *, password: str) -> ssl.SSLContext:
    """Of PEM files. password: of the key file, when it has one. Raises CannotServe."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A function, so that OpenSSL never asks for one on the terminal.
        context.load_cert_chain(cert_file, key_file, lambda: password)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CannotServe(f"certificate {cert_file} with key {key_file}: {why}") from None
    return context
