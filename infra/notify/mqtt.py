"""Alerts over MQTT: each change on its sensor's topic, and what is open as a retained message.

alerts/{sensor_id}/notification     every change, QoS 1
alerts/{sensor_id}/state/{rule}     open or resolved, retained: who subscribes later is told at once
"""

import time

import msgspec

from infra.mqtt.errors import MqttFailure
from infra.mqtt.link import Link
from infra.mqtt.place import Place
from infra.notify.message import Change, NotTold, Telling

_WITHIN_S = 10.0
_TURN_S = 0.02
_NOT_IN_A_LEVEL = str.maketrans("/+#\0", "____")


class MqttTopics:
    """For one thread. topic, state_topic: with {sensor_id} and {rule}; no state is kept where state_topic is empty.

    An alert on a group goes under the name of the group instead of a sensor's.
    """

    def __init__(self, place: Place, *, topic: str, state_topic: str) -> None:
        self._place, self._topic, self._state_topic = place, topic, state_topic
        self._link: Link | None = None
        self._open: set[int] = set()

    def tell(self, telling: Telling) -> None:
        """Until the broker has acknowledged all. Raises NotTold."""
        deadline_s = time.monotonic() + _WITHIN_S
        try:
            link = self._connected(deadline_s)
            self._open.clear()
            for change in telling.changes:
                self._publish(link, self._topic, change, msgspec.json.encode(change), retain=False)
                if self._state_topic:
                    self._publish(link, self._state_topic, change, change.state.encode(), retain=True)
            while self._open and time.monotonic() < deadline_s:
                self._turn(link)
        except MqttFailure as failure:
            self._drop()
            raise NotTold(str(failure)) from None
        if self._open:
            self._drop()
            raise NotTold(f"the MQTT broker at {self._place.url} has not acknowledged it within {_WITHIN_S:.0f} s")

    def reach(self) -> str:
        """Connect, and publish nothing. Raises NotTold."""
        try:
            link = self._connected(time.monotonic() + _WITHIN_S)
        except MqttFailure as failure:
            raise NotTold(str(failure)) from None
        finally:
            self._drop()
        return f"MQTT {link.version} at {self._place.url}, {self._topic}"

    def idle(self) -> None:
        """Keep the connection."""
        if self._link is not None:
            try:
                self._link.serve(0)
            except MqttFailure:
                self._drop()

    def _connected(self, deadline_s: float) -> Link:
        link = self._link = self._link or Link(self._place, on_published=self._open.discard, clean=True)
        while link.client is None:
            if time.monotonic() > deadline_s:
                raise MqttFailure(f"the MQTT broker at {self._place.url} does not answer")
            self._turn(link)
        return link

    def _publish(self, link: Link, template: str, change: Change, payload: bytes, *, retain: bool) -> None:
        client = link.client
        if client is None:
            raise MqttFailure(f"the MQTT broker at {self._place.url} is away")
        topic = topic_of(template, change)
        # Noted before it is acknowledged, which happens in a later turn at the earliest.
        self._open.add(client.publish(topic, payload, qos=1, retain=retain).mid)

    def _turn(self, link: Link) -> None:
        if not link.serve(_TURN_S):
            time.sleep(_TURN_S)

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def topic_of(template: str, change: Change) -> str:
    """The template with the alert's own names, none of which opens another level."""
    who = change.sensor_id or change.asset_id or change.location or change.sensor_type or change.source
    names = {"{sensor_id}": who, "{rule}": change.rule}
    for field, name in names.items():
        template = template.replace(field, name.translate(_NOT_IN_A_LEVEL))
    return template
