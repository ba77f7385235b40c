"""The embedded Kafka-protocol broker: one binary from a wheel, so that the demo and the tests need no installation.

    with Broker(Path(".streamgauge/broker")) as broker:
        Producer({"bootstrap.servers": broker.bootstrap})

For one machine. What it promises, and a successor must, is in tests/contract/test_broker.py. Worth knowing:
- It keeps its topics in memory and writes all of them to disk about once a second while they change. So `stop` loses
  nothing, `kill` loses what was acknowledged within the last seconds; bound topics by retention.bytes, let producers
  compress.
- It ignores the size limits of a fetch: a consumer gets all that is left of a partition at once (0.4 kB a message).
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.embedded.process import ChildFailed, ChildProcess

_HOST = "127.0.0.1"
_LISTENING = re.compile(rf"^\s+kafka\s+{re.escape(_HOST)}:(\d+)\s*$", re.MULTILINE)


class Broker:
    """A broker with its data in `data_dir`; listens on loopback only.

    data_dir: made when missing; holds everything the broker keeps, and its log.
    port: 0 takes a free one at the first start and keeps it from then on, so that clients find it again.
    """

    name = "broker"

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        self.data_dir = data_dir
        self._port = port
        self._process: ChildProcess | None = None

    @property
    def bootstrap(self) -> str:
        """ "host:port" for clients."""
        if not self._port:
            raise RuntimeError("the broker has no port before it was started")
        return f"{_HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit code, or minus the signal that ended it."""
        return self._running().returncode

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start it, or start it again after `stop` or `kill`, and wait until it takes connections.

        Raises ChildFailed, with the end of its log, when it cannot (port taken, data directory in use or damaged);
        StartCancelled when `cancelled()` turns true.
        """
        argv = [str(_binary()), "start", "--only", "kafka", "--host", _HOST, "--kafka-port", str(self._port)]
        self._process = process = ChildProcess(
            self.name,
            [*argv, "--data-dir", str(self.data_dir)],
            log=self.data_dir / "broker.log",
            ready=self._listens,
            stop_timeout_s=30.0,  # it writes all its data once more
        )
        process.start(cancelled=cancelled)

    def stop(self) -> int | None:
        """Let it save everything and end; its exit code, None when it was never started. May be called again."""
        return self._process.stop() if self._process else None

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._running().kill()

    def failure(self) -> ChildFailed:
        """What to say when it has ended by itself."""
        return self._running().failure()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> ChildProcess:
        if self._process is None:
            raise RuntimeError("the broker has not been started")
        return self._process

    def _listens(self) -> bool:
        """It names its port in the log once it listens."""
        said = _LISTENING.search(self._running().log_tail())
        if said is None:
            return False
        self._port = int(said[1])
        return True


def _binary() -> Path:
    """The binary itself: its Python wrapper would be one more process between us and it."""
    spec = find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise ChildFailed(
            "the embedded broker is not installed: pip install 'streamgauge[embedded]', "
            "or set kafka.bootstrap to a broker of your own"
        )
    return Path(spec.origin).with_name("noida-db")
