"""A connection to an MQTT broker that comes back: MQTT 5 or 3.1.1, one session, driven by the caller's own loop.

    link = Link(place, filters=("sensors/+/data",), on_message=take, receive_maximum=1000, session_expiry_s=3600)
    while ...:
        link.serve(0.1, read=True)      # connects when it must; calls take(message)
        link.acknowledge(message.mid)

paho does the protocol; its own loop costs four times as much for a message as this one.
"""

import logging
import math
import random
import select
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from infra.mqtt.errors import MqttFailure, Refused, Unreachable
from infra.mqtt.place import Place
from infra.mqtt.wire import GOOD_BYE_S, Words, lingering, tls_reason

_CONNECT_S = 10.0
_ANSWER_S = 5.0
"""How long a broker may take to answer CONNECT."""
_BACKOFF_S = (0.2, 30.0)
_SOON_S = 10.0
"""A connection that was lost sooner counts as one more failed attempt."""
_AT_ONCE = 500
"""Packets read before the caller is asked again."""
_TAKEN_OVER = 0x8E
_UNSUPPORTED = 0x84
_FAILURE = 0x80
_ALERT = "_ALERT_"
_BUSY = (0x88, 0x89, 0x97, 0x9F)
"""Not available, busy, quota exceeded, too many connections: it may take us later."""
_HINTS = {
    "Bad user name or password": "check mqtt.username and mqtt.password",
    "Not authorized": "check mqtt.username, mqtt.password, certificates, and the rights of this client",
    "Client identifier not valid": "change mqtt.client_id",
    "Banned": "ask who runs the broker",
}

logger = logging.getLogger(__name__)


class Link:
    """For one thread.

    filters: what to subscribe to, at QoS 1; none for a link that only publishes.
    on_message: takes what comes, within `serve`; acknowledge it later.
    on_connected: a connection begins; whether the broker knew the session. What came earlier may not be acknowledged
        any more: it comes again.
    on_published: the broker has taken the message of this number.
    status_topic: told online and offline, retained; "" for none.
    clean: no session, neither an earlier one nor for later.
    patient: whether a broker that is away at the start is waited for.

    A refusal before the first connection is an error; afterwards, and while the broker is away, it is tried again.
    """

    def __init__(
        self,
        place: Place,
        *,
        filters: Sequence[str] = (),
        on_message: Callable[[MQTTMessage], None] = lambda message: None,
        on_connected: Callable[[bool], None] = lambda session: None,
        on_published: Callable[[int], None] = lambda mid: None,
        receive_maximum: int = 1_000,
        session_expiry_s: int = 0,
        status_topic: str = "",
        clean: bool = False,
        patient: bool = True,
    ) -> None:
        self._place = place
        self._filters = filters
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_published = on_published
        self._receive_maximum = receive_maximum
        self._session_expiry_s = session_expiry_s
        self._status_topic = status_topic
        self._clean = clean
        self._patient = patient
        self._tls = place.tls
        self._protocol = MQTTv311 if place.protocol == "3.1.1" else MQTTv5
        self._client: Client | None = None
        self._ready = False
        self._taken = 0
        self._asked: dict[int, str] = {}
        """Subscriptions that were not answered yet, by the number of the packet."""
        self._problem: MqttFailure | None = None
        self._refusal: MqttFailure | None = None
        self._away_since_s: float | None = None
        self._fall_back = False
        self._words = Words()
        self._attempts = 0
        self._next_try_s = 0.0
        self._answer_due_s = 0.0
        self._began_s = 0.0
        self._ever = False

    @property
    def client(self) -> Client | None:
        """paho's client while connected and subscribed."""
        return self._client if self._ready else None

    @property
    def version(self) -> str:
        """Of MQTT, as spoken or tried."""
        return "5" if self._protocol == MQTTv5 else "3.1.1"

    @property
    def connected(self) -> bool:
        """Whether messages can come."""
        return self._ready

    def serve(self, timeout_s: float, *, read: bool = True) -> bool:
        """Do what there is to do, waiting so long for it; False when there is no connection, at once.

        read: take in messages; otherwise they wait at the broker, and nothing else is heard from it either.
        Raises MqttFailure.
        """
        if self._client is None:
            if time.monotonic() < self._next_try_s or not read:
                return False
            self._connect()
        client = self._client
        if client is None:
            return False
        self._exchange(client, timeout_s, read=read)
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._turned_away(refusal)
        elif self._client is client and (client.socket() is None or self._is_mute()):
            self._ended()
        return self._client is not None

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Tell the broker that these messages of this connection were taken care of."""
        client = self._client
        if client is None:
            return
        for mid in mids:
            client.ack(mid, 1)
        if client.socket() is not None and client.want_write():
            client.loop_write()

    def close(self) -> None:
        """Say good-bye: the session stays at the broker. What was written before is sent."""
        client, self._client = self._client, None
        if client is None or client.socket() is None:
            return
        if self._status_topic and self._ready:
            client.publish(self._status_topic, b"offline", qos=0, retain=True)
        self._ready = False
        client.on_disconnect = None
        with lingering(client.socket()):
            client.disconnect()
            deadline_s = time.monotonic() + GOOD_BYE_S
            while client.socket() is not None and client.want_write() and time.monotonic() < deadline_s:
                writing: list[Any] = [client.socket()]
                select.select([], writing, [], 0.1)
                client.loop_write()
        self._drop(client)

    def _exchange(self, client: Client, timeout_s: float, *, read: bool) -> None:
        connection: Any = client.socket()
        if connection is None:  # it was lost while something was acknowledged
            return
        pending = getattr(connection, "pending", int)()
        readable, writable, _ = select.select(
            [connection] if read else [], [connection] if client.want_write() else [], [], 0 if pending else timeout_s
        )
        if readable or (pending and read):
            for _ in range(_AT_ONCE):
                before = self._taken
                client.loop_read()
                if self._taken == before or client.socket() is None:
                    break
        if (writable or readable) and client.socket() is not None and client.want_write():
            client.loop_write()
        if read and client.socket() is not None:
            client.loop_misc()

    def _is_mute(self) -> bool:
        """Whether the broker has not let us in for too long; some that do not know MQTT 5 wait for more to read."""
        return not self._ready and time.monotonic() > self._answer_due_s

    def _connect(self) -> None:
        self._attempts += 1
        client = self._client = self._new()
        try:
            client.connect(
                self._place.host, self._place.port, keepalive=self._place.keepalive_s, **self._session(client)
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: of a name that cannot be one
            if self._tls is not None and self._tls.last is not None:
                self._tls.last.close()
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                self._turned_away(Refused(self._away(f"TLS: {tls_reason(str(error))}", refused=True)))
            else:
                self._lost(Unreachable(self._away(getattr(error, "strerror", None) or str(error))))
        self._answer_due_s = time.monotonic() + _ANSWER_S

    def _session(self, client: Client) -> dict[str, Any]:
        if self._protocol != MQTTv5:
            return {}
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._receive_maximum
        if self._session_expiry_s:
            properties.SessionExpiryInterval = self._session_expiry_s
        return {"clean_start": self._clean, "properties": properties}

    def _new(self) -> Client:
        place = self._place
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=place.client_id,
            protocol=self._protocol,
            clean_session=self._clean if self._protocol == MQTTv311 else None,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_S
        if place.username:
            client.username_pw_set(place.username, place.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._status_topic:
            client.will_set(self._status_topic, b"offline", qos=1, retain=True)
        client.on_connect = self._answered
        client.on_subscribe = self._subscribed
        client.on_message = self._took
        client.on_publish = self._published
        client.on_disconnect = self._disconnected
        client.on_socket_register_write = _later
        self._words = Words()
        client.enable_logger(self._words)
        return client

    def _took(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._taken += 1
        self._on_message(message)

    def _published(self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self._on_published(mid)

    def _answered(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._refused(reason)
            return
        client.disable_logger()
        self._answer_due_s = math.inf  # what the session holds may come before the answer to SUBSCRIBE
        granted_s = getattr(properties, "SessionExpiryInterval", self._session_expiry_s)
        if granted_s < self._session_expiry_s:
            logger.warning(
                "the MQTT broker at %s keeps messages for %d s while we are away, not for mqtt.session_expiry = %d s",
                *(self._place.url, granted_s, self._session_expiry_s),
            )
        if self._filters:
            self._on_connected(bool(flags.session_present))
            # One by one: some brokers take only so many at a time.
            self._asked = {client.subscribe([(one, self._options())])[1] or 0: one for one in self._filters}
        else:
            self._began()
            self._on_connected(bool(flags.session_present))

    def _options(self) -> Any:
        # What is retained is sent for a new subscription only, not again with every connection.
        return SubscribeOptions(qos=1, retainHandling=1) if self._protocol == MQTTv5 else 1

    def _refused(self, reason: ReasonCode) -> None:
        said = str(reason)
        if reason.value == _UNSUPPORTED and self._may_fall_back:
            self._fall_back = True
        elif reason.value in _BUSY:
            self._problem = Unreachable(self._away(said))
        else:
            self._refusal = Refused(self._away(f"{said}: {_HINTS.get(said, 'see its log')}", refused=True))

    @property
    def _may_fall_back(self) -> bool:
        return self._place.protocol == "auto" and self._protocol == MQTTv5 and not self._ever

    def _subscribed(self, client: Client, userdata: Any, mid: int, reasons: Sequence[ReasonCode], _: Any) -> None:
        topic, reason = self._asked.pop(mid, ""), reasons[0]
        if reason.value >= _FAILURE:
            why = f"no subscription to {topic} ({reason}): check mqtt.topics and the client's rights"
            self._refusal = Refused(self._away(why, refused=True))
        elif not self._asked:
            self._began()

    def _began(self) -> None:
        client = self._client
        assert client is not None
        if self._status_topic:
            client.publish(self._status_topic, b"online", qos=0, retain=True)
        if self._away_since_s is not None:
            gone_s = time.monotonic() - self._away_since_s
            logger.warning("the MQTT broker at %s is back after %.0f s", self._place.url, gone_s)
        elif not self._ever:
            logger.info("connected to %s, MQTT %s, as %s", self._place.url, self.version, self._place.client_id)
        self._ready, self._ever, self._away_since_s, self._began_s = True, True, None, time.monotonic()

    def _disconnected(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER:
            self._problem = Unreachable(
                f"another client has connected to {self._place.url} as {self._place.client_id}: "
                "give each bridge a client_id of its own"
            )
        elif self._problem is None and flags.is_disconnect_packet_from_server:
            self._problem = Unreachable(self._away(f"it ended the connection: {reason}"))

    def _turned_away(self, refusal: MqttFailure) -> None:
        if not self._ever:
            self._drop(self._client)
            raise refusal
        self._lost(refusal)

    def _ended(self) -> None:
        """The connection is gone; why?"""
        if self._fall_back:
            self._drop(self._client)
            self._protocol, self._fall_back, self._next_try_s = MQTTv311, False, 0.0
        elif self._problem is not None:
            self._lost(self._problem)
        elif self._ready:
            why = "the connection was lost"
            if time.monotonic() < self._began_s + _SOON_S:
                why += f" soon after it began; does another client call itself {self._place.client_id}, too?"
            self._lost(Unreachable(self._away(why)))
        elif _ALERT in self._words.said:
            self._turned_away(Refused(self._away(f"TLS: {tls_reason(self._words.said)}", refused=True)))
        else:
            self._unanswered()

    def _unanswered(self) -> None:
        """Some brokers hang up on, or wait for more of, a version they do not know; some when a client has no right."""
        did = "said nothing" if self._is_mute() else "hung up"
        if self._may_fall_back:
            logger.info("the MQTT broker at %s %s after CONNECT: trying MQTT 3.1.1", self._place.url, did)
            self._drop(self._client)
            self._protocol = MQTTv311
            return
        hint = f"it {did} after CONNECT, MQTT {self.version}: check client_id, certificates and rights"
        self._lost(Unreachable(self._away(hint)))
        if self._place.protocol == "auto" and not self._ever:
            self._protocol = MQTTv5

    def _lost(self, why: MqttFailure) -> None:
        """Nothing can come until a later try."""
        if self._ready and time.monotonic() > self._began_s + _SOON_S:
            self._attempts = 0
        self._drop(self._client)
        if not (self._ever or self._patient):
            raise why
        self._problem = None
        least_s, most_s = _BACKOFF_S
        wait_s = min(most_s, least_s * 2 ** min(self._attempts, 10)) * random.uniform(0.5, 1.0)
        self._next_try_s = time.monotonic() + wait_s
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            logger.warning("%s; trying again", why)

    def _drop(self, client: Client | None) -> None:
        self._client, self._ready = None, False
        if client is not None:
            client.on_disconnect = None
            connection = client.socket()
            if connection is not None:
                connection.close()

    def _away(self, why: str, *, refused: bool = False) -> str:
        what = "refuses" if refused else "does not answer"
        return f"the MQTT broker at {self._place.url} {what}: {why}"


def _later(client: Client, userdata: Any, connection: Any) -> None:
    """Tells paho that we write when we are ready, not at once packet by packet."""
