"""The notifier: the topic of alerts into its own record, and from there to each channel in a thread of its own."""

import logging
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from flows.places import clickhouse_address, connection
from flows.settings import Settings, SettingsError
from flows.settings_notify import Target
from infra.kafka.follow import follow
from infra.mqtt.errors import need_paho
from infra.notify.channel import Channel, Policy, Teller
from infra.notify.everything import Everything
from infra.notify.mail import Mail
from infra.notify.message import Change, NotTold, Telling
from infra.notify.record import Record
from infra.notify.text import Words
from infra.notify.webhook import Webhook

_END_S = 15.0

logger = logging.getLogger(__name__)


def teller(settings: Settings, target: Target, *, visiting: bool = False) -> Teller:
    """What reaches a channel. visiting: beside a notifier that may run, from which an MQTT broker can tell it apart.

    Raises MqttFailure, SettingsError.
    """
    if target.topic:
        need_paho()
        from flows.ingest_mqtt import mqtt_place
        from infra.notify.mqtt import MqttTopics

        place = mqtt_place(settings.mqtt)
        visitor = f"-{secrets.token_hex(4)}" if visiting else ""
        place = replace(place, client_id=f"{place.client_id}-notify-{target.name}{visitor}")
        state_topic = "" if visiting else target.state_topic  # what is made up shall not stay
        return MqttTopics(place, topic=target.topic, state_topic=state_topic)
    if target.url:
        return Webhook(target.name, target.url, secret=str(target.secret))
    words = Words(target.title, target.body)
    if target.apprise:
        try:
            return Everything(str(target.apprise), words)
        except ValueError as error:
            raise SettingsError(f"channel {target.name!r}: {error}") from None
    return Mail(
        host=target.host,
        port=target.port,
        sender=target.sender,
        recipients=target.recipients,
        security=target.security,
        username=target.username,
        password=str(target.password),
        words=words,
    )


def policy(target: Target) -> Policy:
    """What a channel tells, and when."""
    # Machines listen to MQTT: each has its own topic, and a summary would be of no use to them.
    per_minute = sys.maxsize if target.topic else target.per_minute
    return Policy(
        severity=target.severity,
        wait_ms=target.wait.ms,
        per_minute=per_minute,
        resolved=target.resolved,
        repeat_ms=target.repeat.ms,
    )


def reach(settings: Settings, target: Target) -> str:
    """Try a channel without telling anybody anything; what was found, in words. Raises SettingsError, MqttFailure."""
    try:
        return teller(settings, target, visiting=True).reach()
    except NotTold as problem:
        raise SettingsError(str(problem)) from None


def notify(settings: Settings, stop: threading.Event) -> None:
    """Until stopped. Raises SettingsError, KafkaFailure, MqttFailure."""
    from infra.clickhouse.alerts import Silences  # here, for a device without ClickHouse spares its client

    asked, topic = settings.notify, settings.kafka.alerts_topic
    if not topic:
        raise SettingsError('kafka.alerts_topic = "": there is nothing to tell of; name the topic that the flow writes')
    if not asked.channels:
        raise SettingsError(
            "notify.channels = []: nobody is to be told; add a [[notify.channels]] with a url, host, topic or apprise"
        )
    with ExitStack() as stack:
        record = Record(Path(asked.record))
        stack.callback(record.close)
        silences = Silences(clickhouse_address(settings))
        channels = [
            Channel(
                one.name,
                teller(settings, one),
                policy(one),
                record,
                silenced=silences.silenced,
                in_hand=silences.acknowledged,
            )
            for one in asked.channels
        ]
        ended = threading.Event()
        threads = [threading.Thread(target=one.run, args=(ended,), name=one.name, daemon=True) for one in channels]
        stack.callback(_join, threads, ended)
        for thread in threads:
            thread.start()
        record.forget(_now_ms() - asked.keep.ms)
        intake = Intake(record, channels, max_age_ms=asked.max_age.ms)
        logger.info("telling of %s in %s", topic, ", ".join(one.name for one in channels))
        follow(connection(settings), topic, group=asked.group, take=intake.take, stopped=stop.is_set)


def _join(threads: Sequence[threading.Thread], ended: threading.Event) -> None:
    ended.set()
    deadline_s = time.monotonic() + _END_S
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))


class Intake:
    """Messages of the topic into the record: what each channel wants, and when it is due."""

    def __init__(self, record: Record, channels: Sequence[Channel], *, max_age_ms: int) -> None:
        self._record, self._channels, self._max_age_ms = record, channels, max_age_ms
        self._decode = msgspec.json.Decoder(Change).decode

    def take(self, values: Sequence[bytes]) -> None:
        """They are on disk when this returns."""
        now_ms = _now_ms()
        changes = []
        for value in values:
            try:
                change = self._decode(value)
                old = self._max_age_ms and now_ms - _ms(change.updated_at) > self._max_age_ms
            except (msgspec.DecodeError, ValueError) as error:
                logger.error("a message in the topic of alerts is none: %s", error)
                continue
            due = (
                {}
                if old
                else {c.name: now_ms + self._wait_ms(c, change) for c in self._channels if c.policy.wants(change)}
            )
            changes.append((change, due))
        self._record.take(changes)
        for channel in self._channels:
            channel.wake()

    def _wait_ms(self, channel: Channel, change: Change) -> int:
        return channel.policy.wait_ms if change.state == "open" else 0


def test(settings: Settings, target: Target) -> None:
    """Tell a channel of a made-up alert. Raises NotTold, MqttFailure."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    change = Change(
        alert_id=f"test-{_now_ms()}",
        state="open",
        rule="test",
        severity="info",
        started_at=now,
        updated_at=now,
        sensor_id="made-up-sensor",
        reason="a test of this channel; nothing is wrong",
    )
    teller(settings, target, visiting=True).tell(Telling([change]))


def _now_ms() -> int:
    return round(time.time() * 1000)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
