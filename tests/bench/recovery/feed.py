"""Readings that come at a steady rate, as sensors send them."""

import threading
import time
from types import TracebackType
from typing import Self

from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from tests.bench.load import START_MS, Load

_PIECE_S = 0.05


class Feed:
    """In the block it sends a stream in the background, so many readings a second, until `stop` or its end.

    history: the first so many go as fast as they can.
    sent: handed over to the producer so far.
    newest_ms: no later event time was handed over yet, so whatever is later comes after now.
    """

    def __init__(self, connection: Connection, topic: str, load: Load, *, rate: float, history: int = 0) -> None:
        self.sent = 0
        self.newest_ms = START_MS - 1
        self._connection, self._topic, self._load = connection, topic, load
        self._rate, self._history = rate, history
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def stop(self) -> int:
        """End it; all that was sent is delivered then. Returns how many that were; raises what it failed of."""
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.sent

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Producer(self._connection) as producer:
                self._send(producer)
        except BaseException as error:  # for `stop` to tell
            self._error = error

    def _send(self, producer: Producer) -> None:
        most = max(1, int(self._rate * _PIECE_S))
        start_s = time.monotonic()
        for step in self._load.steps():
            for at in range(0, len(step), most):
                if self.sent < self._history:
                    start_s = time.monotonic()
                due_s = start_s + max(0, self.sent - self._history) / self._rate
                if self._ended.wait(max(0.0, due_s - time.monotonic())):
                    return
                piece = step[at : at + most]
                self.newest_ms = piece[-1][2]
                producer.produce_many(self._topic, piece)
                self.sent += len(piece)
