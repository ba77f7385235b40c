"""An embedded ClickHouse for one machine: a process that owns chDB and answers ClickHouse's HTTP interface.

    python -m infra.embedded.clickhouse --data-dir DIR --port 8123

    with EmbeddedClickHouse(data_dir, log=logs / "clickhouse.log") as clickhouse:
        clickhouse_connect.get_client(host="127.0.0.1", port=clickhouse.port)

What is acknowledged outlives kill -9 of the process (a loss of power is for a real server). It has no password and so
listens on loopback addresses only.
"""

import argparse
import re
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from infra.embedded.limits import Limits
from infra.embedded.process import ChildProcess
from infra.embedded.service import ChildService

_READY = "ready: ClickHouse {version} at http://{host}:{port}/ with its data in {data_dir}"
_READY_PORT = re.compile(r"^ready: ClickHouse \S+ at http://[^/]*:(\d+)/", re.MULTILINE)
_LOOPBACK = ("127.0.0.1", "localhost")
_KEEP_ALIVE_S = 60  # longer than the pauses of a writer that inserts once per epoch
_DRAIN_S = 2


class EmbeddedClickHouse(ChildService):
    """The endpoint as a child process.

    data_dir: kept between runs; one process at a time.
    log: file that takes its output.
    port: 0 chooses a free one at the first start and keeps it for later ones.
    """

    def __init__(self, data_dir: Path, *, log: Path, port: int = 0, limits: Limits | None = None) -> None:
        super().__init__("clickhouse")
        self.port = port
        self._data_dir = data_dir
        self._log = log
        self._limits = limits or Limits()

    def _make(self) -> ChildProcess:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(self._limits).items()]
        argv = [sys.executable, "-m", "infra.embedded.clickhouse", f"--data-dir={self._data_dir}"]
        return ChildProcess(
            self.name,
            [*argv, f"--port={self.port}", *flags],
            log=self._log,
            ready=self._answers,
            ready_timeout_s=60.0,  # a large store on a busy machine
            stop_timeout_s=15.0,  # running queries may end
        )

    def _answers(self) -> bool:
        told = _READY_PORT.search(self._child().log_tail())
        if told is None:
            return False
        self.port = int(told[1])
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code: 0, or 1 when it could not be started."""
    arguments = _arguments(argv)
    limits = Limits(**{field.name: getattr(arguments, field.name) for field in fields(Limits)})
    try:
        with _bind(arguments.host, arguments.port) as listener:
            return _serve(listener, arguments.data_dir.absolute(), limits)
    except _CannotServe as error:
        print(f"streamgauge clickhouse: {error}", file=sys.stderr)
        return 1


class _CannotServe(Exception):
    """Why the endpoint cannot be started and what to do."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.embedded.clickhouse",
        description="ClickHouse's HTTP interface over an embedded chDB, for this machine only.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="where the database is kept")
    parser.add_argument("--host", choices=_LOOPBACK, default=_LOOPBACK[0], help="it has no password: loopback only")
    parser.add_argument("--port", type=int, required=True, help="0 chooses a free one")
    for field in fields(Limits):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default, help="default: %(default)s")
    return parser.parse_args(argv)


def _bind(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without, each answer takes 40 ms more.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise _CannotServe(f"port {port} on {host}: {error}; choose another one, or 0 for any that is free") from None
    return listener


def _serve(listener: socket.socket, data_dir: Path, limits: Limits) -> int:
    # Imported here: only the process that serves pays for them, and chDB must not be open where somebody may fork.
    try:
        import uvicorn

        from infra.embedded.endpoint import Endpoint
        from infra.embedded.engine import DataDirError, Engine
    except ModuleNotFoundError as error:
        raise _CannotServe(
            f"{error.name} is not installed: pip install 'streamgauge[embedded]', or use a ClickHouse server instead"
        ) from None

    for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn stops on them, then raises them again
        signal.signal(stop, lambda *_: None)
    try:
        engine = Engine(data_dir)
    except DataDirError as error:
        raise _CannotServe(str(error)) from None
    listener.listen()
    host, port = listener.getsockname()
    print(_READY.format(version=engine.version, host=host, port=port, data_dir=data_dir), flush=True)
    config = uvicorn.Config(
        Endpoint(engine, limits).app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
