"""The embedded MQTT broker: amqtt in a process of its own, so that the demo and the tests need no installation.

    python -m infra.embedded.mqtt --port 1883

    with EmbeddedMqtt(log=logs / "mqtt.log") as broker:
        broker.url      # mqtt://127.0.0.1:...

It speaks MQTT 3.1.1 only, asks for no login, and keeps sessions and messages in memory: they outlive a client, not the
broker. For one machine; Mosquitto and others are for more.
"""

import argparse
import asyncio
import logging
import re
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.embedded.process import ChildFailed, ChildProcess
from infra.embedded.service import ChildService

_HOST = "127.0.0.1"
_READY = "ready: MQTT at {host}:{port}"
_READY_PORT = re.compile(r"^ready: MQTT at \S+:(\d+)$", re.MULTILINE)


class EmbeddedMqtt(ChildService):
    """The broker as a child process; started again it has forgotten everything.

    log: file that takes its output.
    port: 0 chooses a free one at the first start and keeps it for later ones.
    """

    def __init__(self, *, log: Path, port: int = 0) -> None:
        super().__init__("mqtt")
        self.port = port
        self._log = log

    @property
    def url(self) -> str:
        """For clients."""
        return f"mqtt://{_HOST}:{self.port}"

    def _make(self) -> ChildProcess:
        if find_spec("amqtt") is None:
            raise ChildFailed(
                "the embedded MQTT broker is not installed: pip install 'streamgauge[embedded]', "
                "or set mqtt.url to a broker of your own"
            )
        argv = [sys.executable, "-m", "infra.embedded.mqtt", f"--port={self.port}"]
        return ChildProcess(self.name, argv, log=self._log, ready=self._listens)

    def _listens(self) -> bool:
        told = _READY_PORT.search(self._child().log_tail())
        if told is None:
            return False
        self.port = int(told[1])
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.embedded.mqtt", description="MQTT 3.1.1 on loopback.")
    parser.add_argument("--port", type=int, required=True, help="0 chooses a free one")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    return asyncio.run(_serve(arguments.port))


async def _serve(port: int) -> int:
    import amqtt.broker
    from amqtt.errors import BrokerError

    from infra.embedded.mqtt_sessions import KeepingHandler

    amqtt.broker.BrokerProtocolHandler = KeepingHandler  # there is no other way in
    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"{_HOST}:{port}"}},
        "plugins": {"infra.embedded.mqtt_sessions.OpenDoor": {}},
    }
    broker = amqtt.broker.Broker(config)
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    try:
        await broker.start()
    except BrokerError as error:
        print(f"streamgauge mqtt: port {port}: {error.__cause__ or error}; choose another one", file=sys.stderr)
        return 1
    server = broker._servers["default"].instance
    print(_READY.format(host=_HOST, port=server.sockets[0].getsockname()[1]), flush=True)
    await stop.wait()
    await broker.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
