"""Publishes readings over MQTT as the simulator wants to send them: at QoS 1, each on its sensor's topic."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from infra.mqtt.link import Link
from infra.mqtt.place import Place
from infra.mqtt.template import TopicTemplate

_ON_THEIR_WAY = 1_000
_POLL_S = 0.1


class Publisher:
    """For one thread; under a client id of its own for each run. Published again is what a lost connection left open.

    Raises MqttFailure when nobody answers at the start, or the broker refuses.
    """

    def __init__(self, place: Place, template: TopicTemplate) -> None:
        self._template = template
        # By paho's number of the message; in the order of publishing.
        self._open: dict[int, tuple[str, bytes]] = {}
        self._link = Link(
            replace(place, client_id=f"{place.client_id}-{secrets.token_hex(4)}"),
            on_connected=self._again,
            on_published=self._acknowledged,
            clean=True,
            patient=False,
        )
        while not self._link.connected:
            self._turn()

    @property
    def version(self) -> str:
        """Of MQTT, as it is spoken."""
        return self._link.version

    def produce_many(self, topic: str, messages: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Hand over (sensor_id, payload, time) messages; waits while too many are open.

        topic, time: Kafka's; here the template says where a sensor publishes.
        """
        for key, value, _ in messages:
            while len(self._open) >= _ON_THEIR_WAY or self._link.client is None:
                self._turn()
            self._publish(self._template.topic(key.decode()), value)

    def flush(self) -> None:
        """Wait until the broker has acknowledged everything."""
        while self._open:
            self._turn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        self._link.close()

    def _turn(self) -> None:
        if not self._link.serve(_POLL_S):
            time.sleep(_POLL_S)

    def _publish(self, topic: str, payload: bytes) -> None:
        client = self._link.client
        assert client is not None
        self._open[client.publish(topic, payload, qos=1).mid] = topic, payload

    def _acknowledged(self, mid: int) -> None:
        self._open.pop(mid, None)

    def _again(self, _session: bool) -> None:
        left, self._open = list(self._open.values()), {}
        for topic, payload in left:
            self._publish(topic, payload)
