"""The server of the console: that of readings over HTTP, without Kafka behind it; streams end when it is to stop."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from infra.http.server import Server

_LOOK_S = 0.2


class _NoKafka:
    """Nothing is taken in."""

    waiting = 0
    waiting_bytes = 0
    failed = 0
    stalled_s = 0.0

    def offer(self, *_: Any) -> bool:
        return False

    def serve(self) -> None:
        pass


class ConsoleServer(Server):
    """end_streams: is called when it is to stop, for a stream of events never ends by itself."""

    def __init__(
        self, app: Any, *, connections: int, end_streams: Callable[[], None], tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(app, _NoKafka(), connections=connections, tls=tls)
        self._end_streams = end_streams

    async def _let_reports_in(self) -> None:
        while not self._server.should_exit:
            await asyncio.sleep(_LOOK_S)
        self._end_streams()
