"""From an MQTT broker into a log, at least once: a message is acknowledged when everything made of it was delivered.

    broker -> Link -> prepare -> send(key, value, on_delivered) ... on_delivered() -> acknowledged in order of arrival

What may be on its way is bounded, in messages and bytes: by the receive maximum with MQTT 5, and by not reading on.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import Protocol

from paho.mqtt.client import MQTTMessage

from infra.mqtt.link import Link
from infra.mqtt.payload import Unfit, prepare
from infra.mqtt.place import Place
from infra.mqtt.template import TopicTemplate
from infra.observe import metrics

_MOST_BYTES = 64 * 1024 * 1024
_BUSY_S, _QUIET_S = 0.005, 0.1
"""How long to wait for MQTT while deliveries are due, and while none are."""

logger = logging.getLogger(__name__)


class Log(Protocol):
    """Where messages go; see `infra.kafka.delivery`."""

    @property
    def waits(self) -> bool:
        """Whether it is away."""
        ...

    def send(self, key: bytes, value: bytes, on_delivered: Callable[[], object]) -> str:
        """Hand over; "" or why it will never be taken."""
        ...

    def serve(self, timeout_s: float) -> None:
        """Call on_delivered of what was delivered; waits so long for the first."""
        ...


class _Pending:
    """A message whose parts are on their way. left: parts; mid: its number on this connection, 0 at QoS 0."""

    __slots__ = ("left", "mid", "size")

    def __init__(self, mid: int, size: int, left: int) -> None:
        self.mid = mid
        self.size = size
        self.left = left


class Bridge:
    """For one thread.

    filters: what to subscribe to.
    receive_maximum: messages on their way that are not acknowledged yet.
    """

    def __init__(
        self,
        place: Place,
        log: Log,
        *,
        template: TopicTemplate,
        filters: Sequence[str],
        receive_maximum: int,
        session_expiry_s: int,
        status_topic: str = "",
    ) -> None:
        self._log = log
        self._template = template
        self._most = 2 * receive_maximum
        self._unacknowledged: deque[_Pending] = deque()
        self._in_flight = 0
        self._bytes = 0
        self._received = metrics.MQTT_MESSAGES.labels("new"), metrics.MQTT_MESSAGES.labels("again")
        self._link = Link(
            place,
            filters=filters,
            on_message=self._take,
            on_connected=self._begin,
            receive_maximum=receive_maximum,
            session_expiry_s=session_expiry_s,
            status_topic=status_topic,
        )

    @property
    def connected(self) -> bool:
        """Whether messages can come."""
        return self._link.connected

    def run(self, stop: Event, *, drain_s: float = 60.0) -> int:
        """Until `stop`; then deliver what is on its way, for so long, and disconnect.

        Returns how many messages could not be delivered any more; the broker sends them again. Raises MqttFailure, and
        what `log` raises.
        """
        try:
            while not stop.is_set():
                self._turn(read=self._in_flight < self._most and self._bytes < _MOST_BYTES)
            deadline_s = time.monotonic() + drain_s
            while self._in_flight and not self._log.waits and time.monotonic() < deadline_s:
                self._turn(read=False)
            return len(self._unacknowledged)
        finally:
            self._link.close()
            metrics.MQTT_CONNECTED.set(0)

    def _turn(self, *, read: bool) -> None:
        wait_s = _BUSY_S if self._in_flight else _QUIET_S
        connected = self._link.serve(wait_s if read else 0.0, read=read)
        self._log.serve(0.0 if connected and read else wait_s)
        self._acknowledge()
        metrics.MQTT_IN_FLIGHT.set(self._in_flight)
        metrics.MQTT_CONNECTED.set(self._link.connected)

    def _begin(self, session: bool) -> None:
        """Numbers of an earlier connection may mean other messages now; what they meant comes again."""
        self._unacknowledged.clear()

    def _take(self, message: MQTTMessage) -> None:
        self._received[message.dup].inc()
        topic, payload = _topic(message), bytes(message.payload)
        prepared = prepare(topic, payload, self._template)
        if prepared.unfit:
            _tell(prepared.unfit, topic, "it goes on as it is")
        pending = _Pending(message.mid, len(payload), len(prepared.messages))
        self._in_flight += 1
        self._bytes += pending.size
        if message.qos:
            self._unacknowledged.append(pending)

        def delivered() -> None:
            pending.left -= 1
            if pending.left == 0:
                self._in_flight -= 1
                self._bytes -= pending.size

        for key, value in prepared.messages:
            never = self._log.send(key, value, delivered)
            if never:
                _tell("too_large", topic, f"it is dropped: {never}")
                delivered()

    def _acknowledge(self) -> None:
        """In order of arrival, as MQTT demands."""
        waiting, done = self._unacknowledged, []
        while waiting and waiting[0].left == 0:
            done.append(waiting.popleft().mid)
        if done:
            self._link.acknowledge(done)
            metrics.MQTT_ACKNOWLEDGED.inc(len(done))


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return "(not UTF-8)"


def _tell(why: Unfit, topic: str, fate: str) -> None:
    metrics.MQTT_UNFIT.labels(why).inc()
    logger.warning("a message on %s: %s; %s", topic, _WORDS[why], fate)


_WORDS: dict[Unfit, str] = {
    "no_sensor": "says no sensor_id, and the topic is not as mqtt.template",
    "not_json": "is no JSON object of a reading, so nothing can be filled in",
    "too_large": "is too large",
}
