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
from importlib.util import find_spec
from pathlib import Path

from infra.embedded.process import ChildFailed, ChildProcess
from infra.embedded.service import ChildService

_HOST = "127.0.0.1"
_LISTENING = re.compile(rf"^\s+kafka\s+{re.escape(_HOST)}:(\d+)\s*$", re.MULTILINE)


class Broker(ChildService):
    """A broker with its data in `data_dir`; listens on loopback only.

    data_dir: made when missing; holds everything the broker keeps, and its log.
    port: 0 takes a free one at the first start and keeps it from then on, so that clients find it again.
    """

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        super().__init__("broker")
        self.data_dir = data_dir
        self._port = port

    @property
    def bootstrap(self) -> str:
        """ "host:port" for clients."""
        if not self._port:
            raise RuntimeError("the broker has no port before it was started")
        return f"{_HOST}:{self._port}"

    def _make(self) -> ChildProcess:
        argv = [str(_binary()), "start", "--only", "kafka", "--host", _HOST, "--kafka-port", str(self._port)]
        return ChildProcess(
            self.name,
            [*argv, "--data-dir", str(self.data_dir)],
            log=self.data_dir / "broker.log",
            ready=self._listens,
            stop_timeout_s=30.0,  # it writes all its data once more
        )

    def _listens(self) -> bool:
        """It names its port in the log once it listens."""
        said = _LISTENING.search(self._child().log_tail())
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
