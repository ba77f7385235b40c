"""What the ways in beside Kafka can be told: sections of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Duration, Secret, Section


class Mqtt(Section, frozen=True):
    """`streamgauge ingest mqtt`: from an MQTT broker into the first topic of Kafka.

    url: mqtt://host:port, or mqtts://host:port for TLS; ports 1883 and 8883 when left out.
    protocol: MQTT 5 where the broker speaks it, else 3.1.1; or one of the two only.
    client_id: under it the broker keeps what the bridge has not acknowledged; each bridge has one of its own, for good.
    username, password: the password is better given in the environment.
    ca_file: certificates that vouch for the broker's; the system's when empty. cert_file, key_file, key_password: who
        the bridge is, as PEM files.
    template: what the levels of a topic say, sensor_id, sensor_type, location, unit or asset_id in braces; it fills
        what a payload does not say.
    topics: filters to subscribe to; the template's own when empty.
    group: bridges with the same one share the messages ($share/group/...).
    receive_maximum: messages that may be on their way to Kafka, not acknowledged yet; more are not sent by the broker.
    session_expiry: how long the broker keeps messages while the bridge is away; with MQTT 5 only.
    keepalive: silence after which bridge and broker make sure of each other.
    status_topic: is told `online`, and by the broker `offline` when the bridge is gone; both retained. Empty: none.
    """

    url: str = "mqtt://127.0.0.1:1883"
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "streamgauge"
    username: str = ""
    password: Secret = Secret("")
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret = Secret("")
    template: str = "sensors/{sensor_id}/data"
    topics: tuple[str, ...] = ()
    group: Annotated[str, msgspec.Meta(pattern=r"^[^/+#]*$")] = ""
    receive_maximum: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 5_000
    session_expiry: Duration = Duration(86_400_000)
    keepalive: Duration = Duration(30_000)
    status_topic: str = ""
