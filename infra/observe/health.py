"""Liveness, readiness and metrics over HTTP: GET /health/live, /health/ready, /metrics, and nothing else.

For probes and a Prometheus beside it: without encryption or login, so on loopback unless told otherwise.
"""

import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

_REQUESTS = 8
"""So many are answered at a time; one more is turned away."""
_TIMEOUT_S = 5.0
"""So long may a client take to ask, and to take its answer."""

Troubles = Callable[[], list[str]]
"""What is wrong, one line each; nothing when all is well. Called from the server's threads."""


class HealthServer:
    """Answers while in `with`.

    listen: "host:port"; port 0 takes a free one, see `port`.
    live, ready: 200 while they name nothing, else 503 with what they name.
    metrics: the page for Prometheus.

    Raises OSError when the address cannot be had, ValueError when it is none.
    """

    def __init__(
        self, listen: str, *, live: Troubles, ready: Troubles, metrics: Callable[[], bytes] | None = None
    ) -> None:
        host, port = parse_address(listen)
        self._server = _Server(host, port, {"/health/live": live, "/health/ready": ready}, metrics)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9464" or "[::1]:9464". Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'{text!r} is no address: expected "host:port", such as "127.0.0.1:9464"')
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _REQUESTS

    def __init__(self, host: str, port: int, checks: dict[str, Troubles], metrics: Callable[[], bytes] | None) -> None:
        self.checks = checks
        self.metrics = metrics
        self._room = threading.BoundedSemaphore(_REQUESTS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @override
    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for this machine's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S
    server_version, sys_version = "streamgauge", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        check = self.server.checks.get(path)
        if check is not None:
            troubles = check()
            status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
            self._answer(status, {"status": "not ok" if troubles else "ok", "missing": troubles})
        elif path == "/metrics" and self.server.metrics is not None:
            self._send(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", self.server.metrics())
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"status": "not found", "paths": sorted(self.server.checks)})

    @override
    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """In words of ours: the library's page repeats what it was sent."""
        self.close_connection = True
        self._answer(HTTPStatus(code), {"status": HTTPStatus(code).phrase.lower()})

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds."""

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode() + b"\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.request_version = self.protocol_version  # to 0.9, or to what is no request, no status would be sent
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
