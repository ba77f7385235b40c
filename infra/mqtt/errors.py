"""What can go wrong between us and an MQTT broker, as far as people can act on it.

MqttFailure                 the message says what was wrong and what to do
+-- Unreachable             no broker answers (yet)
+-- Refused                 the broker, or TLS, turns us away; waiting may not help
"""

from importlib.util import find_spec


class MqttFailure(Exception):
    """Something about MQTT that a user can act on."""


class Unreachable(MqttFailure):
    """No broker answers; it may later."""


class Refused(MqttFailure):
    """The broker is there and turns us away: login, certificates, rights, protocol."""


def need_paho() -> None:
    """Raises MqttFailure when the extra `mqtt` is not installed."""
    if find_spec("paho") is None:
        raise MqttFailure("MQTT needs one more package: pip install 'streamgauge[mqtt]'")
