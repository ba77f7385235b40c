"""Connecting to Kafka: one place for librdkafka's configuration and for what its errors mean to people.

KafkaFailure                a user can act on the message
+-- Unreachable             no broker answers (yet)
+-- TopicMissing            a topic does not exist
+-- DeliveryFailed          messages were not delivered
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

_LOOPBACK = ("127.", "localhost")
_CRITICAL = 2
_OURS = frozenset(
    {
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "error_cb",
        "group.id",
        "on_delivery",
    }
)
"""What keeps readings from being lost or doubled is not for a user to set."""

_AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
    }
)
_NO_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
    }
)
_REFUSED = {
    KafkaError._AUTHENTICATION: "check sasl.* in [kafka.client] and kafka.password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check sasl.* in [kafka.client] and kafka.password",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "check sasl.mechanism in [kafka.client]",
    KafkaError.ILLEGAL_SASL_STATE: "check security.protocol in [kafka.client]",
    KafkaError._SSL: "check ssl.ca.location and security.protocol in [kafka.client]; has the certificate expired?",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant this user the right on the cluster",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this user Read and Describe (to produce: Write) on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this user Read on the group, or change kafka.group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "grant this user IdempotentWrite on the cluster",
}
"""Errors that waiting does not heal, and what to do."""

_ALERT = re.compile(r"alert ([\w ]+): SSL alert number")
_FILE = re.compile(r"(ssl\.[\w.]+) failed: (?:error:\w+:)?(.*)")
_NOISE = re.compile(
    r"^\w+://\S+: |error:\w+:|: broker certificate could not be verified,.*$| \(after \d+ms in state.*$"
)
"""What librdkafka says around the reason why a handshake failed."""


class KafkaFailure(Exception):
    """Something about Kafka that a user can act on; the message says what was wrong and what to do."""


class Unreachable(KafkaFailure):
    """No broker answers; it may later."""


class TopicMissing(KafkaFailure):
    """A topic, or a partition of it, does not exist."""


class DeliveryFailed(KafkaFailure):
    """Messages handed to a producer were not delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where Kafka is and as whom to speak to it.

    bootstrap: "host:port", several with commas.
    client: any librdkafka setting by its own name (SASL, TLS, tuning).
    password, key_password, oauth_secret: become sasl.password, ssl.key.password, sasl.oauthbearer.client.secret.
    """

    bootstrap: str = "127.0.0.1:9092"
    client: Mapping[str, str | int | bool] = field(default_factory=dict, repr=False)
    password: str = field(default="", repr=False)
    key_password: str = field(default="", repr=False)
    oauth_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if taken := sorted(_OURS & self.client.keys()):
            raise KafkaFailure(f"kafka.client: {', '.join(taken)}: set by streamgauge itself; remove it there")

    def config(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Configuration for one client: our defaults, above them `settings`, above them the user's own."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "client.id": "streamgauge",
            # librdkafka repeats itself every second of an outage; we say it once.
            "log_level": _CRITICAL,
            "reconnect.backoff.max.ms": 1_000,
            "socket.keepalive.enable": True,
        }
        if all(server.strip().startswith(_LOOPBACK) for server in self.bootstrap.split(",")):
            config["broker.address.family"] = "v4"  # "localhost" is ::1 too, where the embedded broker is not
        secrets = {
            "sasl.password": self.password,
            "ssl.key.password": self.key_password,
            "sasl.oauthbearer.client.secret": self.oauth_secret,
        }
        config |= {name: secret for name, secret in secrets.items() if secret}
        return {**config, **settings, **self.client}

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn librdkafka's exceptions into KafkaFailure."""
        try:
            yield
        except KafkaException as error:
            raise self.failure(error.args[0]) from None

    def failure(self, error: KafkaError, *, topic: str = "") -> KafkaFailure:
        """What an error of librdkafka means."""
        code, where = error.code(), f"topic {topic}: " if topic else ""
        if alert := _ALERT.search(error.str()):
            return KafkaFailure(
                f"{where}Kafka at {self.bootstrap} wants a certificate of ours, and not the one it got ({alert[1]}): "
                "check ssl.certificate.location and ssl.key.location in [kafka.client]"
            )
        if "certificate verify failed" in error.str():
            code = KafkaError._SSL  # librdkafka tells of the same handshake as a connection that failed, too
        if code in _AWAY:
            said = error.str().removeprefix(f"{self.bootstrap}/bootstrap: ")
            advice = "is it running, and is kafka.bootstrap right? (`streamgauge up` starts one on this machine)"
            return Unreachable(f"{where}Kafka does not answer at {self.bootstrap}: {advice} ({said})")
        if code in _NO_TOPIC:
            return TopicMissing(
                f"{where}no such topic or partition at {self.bootstrap}: create it, or correct its name"
            )
        if code in _REFUSED:
            said = _NOISE.sub("", error.str())
            return KafkaFailure(f"{where}Kafka at {self.bootstrap} refuses: {said}: {_REFUSED[code]}")
        if error.fatal():
            return KafkaFailure(f"{where}the client of Kafka at {self.bootstrap} gave up, start again: {error.str()}")
        if file := _FILE.search(error.str()):
            name, why = file.groups()
            # Only the name of a file: others hold the key itself.
            given = f"{name} = {self.client.get(name)!r}" if name.endswith(".location") else name
            return KafkaFailure(
                f"kafka.client: {given}: {why}; expected a PEM file that can be read, a key with its certificate"
            )
        if code == KafkaError._INVALID_ARG:
            return KafkaFailure(f"kafka.client: {error.str()}")
        return KafkaFailure(f"{where}Kafka at {self.bootstrap}: {error.str()} [{error.name()}]")


def is_refusal(error: KafkaError) -> bool:
    """Whether waiting cannot heal it: rights, login, encryption, or librdkafka itself gives up."""
    return error.code() in _REFUSED or error.fatal()


def is_absence(error: KafkaError) -> bool:
    """Whether it says that there is no such topic or partition (which may yet come)."""
    return error.code() in _NO_TOPIC


def is_away(error: KafkaError) -> bool:
    """Whether it says that no broker answers (yet)."""
    return error.code() in _AWAY


def is_telling(error: KafkaError) -> bool:
    """Whether it says more than that brokers are away."""
    return error.code() != KafkaError._ALL_BROKERS_DOWN
