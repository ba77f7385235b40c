"""Into the log of a device: the embedded broker, whose word alone is not enough."""

from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from confluent_kafka import Message
from typing_extensions import override

from infra.embedded.saved import Saved
from infra.kafka.client import Connection
from infra.kafka.delivery import ReportingProducer

_LOOK_EVERY_S = 0.1


class LastingLog(ReportingProducer):
    """Tells of a message when the broker has it on disk, a second or two after it took it. See ReportingProducer.

    data_dir: of the embedded broker.
    """

    def __init__(self, connection: Connection, topic: str, data_dir: Path) -> None:
        super().__init__(connection, topic)
        self._of = topic
        self._saved = Saved(data_dir)
        self._taken: defaultdict[int, deque[tuple[int, Callable[[], object]]]] = defaultdict(deque)
        self._looked_s = 0.0

    @override
    def serve(self, timeout_s: float) -> None:
        super().serve(timeout_s)
        now_s = monotonic()
        if any(self._taken.values()) and now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            for partition, high in (self._saved.highs(self._of) or {}).items():
                waiting = self._taken[partition]
                while waiting and waiting[0][0] < high:
                    waiting.popleft()[1]()

    @override
    def _delivered(self, on_delivered: Callable[[], object], message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self._taken[partition].append((offset, on_delivered))
