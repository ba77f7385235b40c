"""From a device's spool to a Kafka elsewhere, whenever it can be reached: at least once, at a bounded rate."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from infra.edge.spool import Spool
from infra.kafka.client import Connection, KafkaFailure
from infra.kafka.delivery import ReportingProducer
from infra.observe import metrics

_CHUNKS_ON_THEIR_WAY = 8
_PAUSES_S = (1.0, 60.0)
_POLL_S = 0.1

logger = logging.getLogger(__name__)


class Forwarder:
    """For one thread. prefix: begins the names of topics there. rate: messages a second at most.

    What the Kafka there refuses is said once and tried again, for nothing on the device depends on it.
    """

    def __init__(self, connection: Connection, spool: Spool, *, prefix: str, rate: int) -> None:
        self._connection, self._spool, self._prefix, self._rate = connection, spool, prefix, rate
        self._due_s = 0.0
        self._refused = False

    def check(self) -> None:
        """Raises KafkaFailure for a configuration that no client can be made with; nobody is asked."""
        ReportingProducer(self._connection, "").close()

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; what is on its way then is sent again later, if need be."""
        pause_s, most_s = _PAUSES_S
        while not stop.is_set():
            producer = ReportingProducer(self._connection, "", linger_ms=20)
            try:
                self._send(producer, stop)
            except KafkaFailure as failure:
                if not self._refused:
                    logger.warning("%s; what is to be forwarded waits, and is tried again", failure)
                    pause_s = _PAUSES_S[0]
                self._refused = True
                stop.wait(pause_s)
                pause_s = min(most_s, 2 * pause_s)
            finally:
                producer.close()

    def _send(self, producer: ReportingProducer, stop: threading.Event) -> None:
        under_way: deque[_Sent] = deque()
        last = 0
        while not stop.is_set():
            room = len(under_way) < _CHUNKS_ON_THEIR_WAY and monotonic() >= self._due_s
            chunk = self._spool.after(last) if room else None
            if chunk is not None:
                last = chunk.number
                sent = _Sent(chunk.number, len(chunk.messages))
                under_way.append(sent)
                for one in chunk.messages:
                    self._hand_over(producer, one.key, one.value, self._prefix + one.topic, one.time_ms, sent.arrived)
                self._due_s = max(monotonic(), self._due_s) + len(chunk.messages) / self._rate
            if under_way:
                producer.serve(0 if chunk is not None else _POLL_S)
            elif chunk is None:
                stop.wait(_POLL_S)
            while under_way and not under_way[0].left:
                self._spool.done(under_way[0].number)
                metrics.FORWARDED.inc(under_way.popleft().messages)
                if self._refused:
                    self._refused = False
                    logger.warning("what is to be forwarded arrives again")

    @staticmethod
    def _hand_over(
        producer: ReportingProducer, key: bytes, value: bytes, topic: str, time_ms: int, arrived: Callable[[], object]
    ) -> None:
        never = producer.send(key, value, arrived, topic=topic, timestamp_ms=time_ms)
        if never:
            logger.error("a message for %s is dropped: %s", topic, never)
            metrics.FORWARD_DROPPED.inc()
            arrived()


class _Sent:
    """A chunk on its way. left: messages that have not arrived."""

    __slots__ = ("left", "messages", "number")

    def __init__(self, number: int, messages: int) -> None:
        self.number, self.messages, self.left = number, messages, messages

    def arrived(self) -> None:
        self.left -= 1
