"""Where an MQTT broker is and as whom to speak to it."""

import ssl
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from typing_extensions import override

from infra.mqtt.errors import MqttFailure

Protocol = Literal["auto", "5", "3.1.1"]
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A broker and a login.

    url: mqtt://host:port, mqtts:// for TLS.
    client_id: under it the broker keeps a session.
    ca_file, cert_file, key_file: PEM files; the system's authorities and no certificate when empty.
    keepalive_s: silence after which both sides make sure of each other.

    Raises MqttFailure when the url is none, or a password nobody's.
    """

    url: str = "mqtt://127.0.0.1:1883"
    client_id: str = "streamgauge"
    protocol: Protocol = "auto"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    keepalive_s: int = 30

    def __post_init__(self) -> None:
        if self.password and not self.username:
            raise MqttFailure("mqtt.password: is given without mqtt.username")
        parts = urlsplit(self.url)
        if parts.username or parts.password:  # not repeated: it would show the password
            raise MqttFailure("mqtt.url: holds a login; give mqtt.username, and STREAMGAUGE_MQTT__PASSWORD instead")
        try:
            right = parts.scheme in _PORTS and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            right = False
        if not right or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise MqttFailure(f"mqtt.url = {self.url!r}: expected mqtt://host:port, or mqtts://host:port for TLS")

    @property
    def host(self) -> str:
        """Name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """As given, else the one that is usual."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    def check(self) -> None:
        """Raises MqttFailure when a file for TLS is not there or not right."""
        _ = self.tls

    @property
    def tls(self) -> "Tls | None":
        """How to encrypt; None for not at all. Raises MqttFailure when a file is not there or not right."""
        if urlsplit(self.url).scheme != "mqtts":
            for name in ("ca_file", "cert_file", "key_file"):
                if getattr(self, name):
                    raise MqttFailure(f"mqtt.{name}: is for TLS, and mqtt.url = {self.url!r} is not: mqtts://...")
            return None
        context = Tls(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            else:
                context.load_default_certs()
        except OSError as error:
            raise MqttFailure(f"mqtt.ca_file = {self.ca_file!r}: {_reason(error)}") from None
        if self.cert_file or self.key_file:
            try:
                # A password is always given: without one OpenSSL would ask on the terminal, and wait.
                context.load_cert_chain(self.cert_file, self.key_file or None, lambda: self.key_password)
            except OSError as error:
                raise MqttFailure(
                    f"mqtt.cert_file = {self.cert_file!r}, mqtt.key_file = {self.key_file!r}: {_reason(error)}; "
                    "expected PEM files that belong together, and mqtt.key_password when the key has one"
                ) from None
        return context


class Tls(ssl.SSLContext):
    """Verifies the broker and its name; keeps the last socket, for paho leaves it open when the handshake fails."""

    last: ssl.SSLSocket | None = None

    @override
    def wrap_socket(self, *arguments: Any, **given: Any) -> ssl.SSLSocket:
        self.last = super().wrap_socket(*arguments, **given)
        return self.last


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)
