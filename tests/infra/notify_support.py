"""What listens where alerts are told: a real HTTP server, and as much SMTP as a client needs."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from infra.notify.message import Change

SECRET = "between us"


def change(name: str = "a", *, state: str = "open", **more: Any) -> Change:
    """An alert on one sensor."""
    given: dict[str, Any] = {
        "alert_id": f"{name}-1",
        "state": state,
        "rule": "anomaly",
        "severity": "warning",
        "started_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z" if state == "open" else "2026-01-01T00:05:00.000Z",
        "ended_at": None if state == "open" else "2026-01-01T00:05:00.000Z",
        "sensor_id": name,
        "location": "hall",
        "reason": f"{name}: anomaly, value 93.5 °C",
    }
    return Change(**(given | more))


class Hook(ThreadingHTTPServer):
    """statuses: of the next answers, 200 once they are used up; None: no answer at all. posts: (headers, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int | None] = []
        self.retry_after = ""
        self.hold = threading.Event()
        """Set: answers come at once."""
        self.hold.set()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def told(self) -> list[tuple[str, str]]:
        """(sensor, status) of every alert that was taken, in order."""
        alerts = [one for _, body in self.posts for one in json.loads(body)["alerts"]]
        return [(one["labels"].get("sensor_id", ""), one["status"]) for one in alerts]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hold.wait(30)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status is None:
            self.connection.close()
            return
        if status == 200:
            self.server.posts.append((dict(self.headers.items()), body))
        self.send_response(status)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return None


class Post(socketserver.ThreadingTCPServer):
    """An SMTP server without login or encryption. refuse: an answer to RCPT instead of 250, while there is one."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.mails: list[Message] = []
        self.refuse: list[str] = []
        super().__init__(("127.0.0.1", port), _Session)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: Post

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self._say("354 go on")
                self.server.mails.append(message_from_bytes(b"".join(self._text()), policy=default))
                self._say("250 taken")
            elif word == b"RCPT" and self.server.refuse:
                self._say(self.server.refuse.pop(0))
            elif word == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _text(self) -> Iterator[bytes]:
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            yield line.removeprefix(b".") if line.startswith(b"..") else line

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """While in the block, the server answers."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
