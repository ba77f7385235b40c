"""What the ways in beside Kafka can be told: sections of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Duration, Secret, Section


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


class HttpKey(Section, frozen=True):
    """An API key, as `streamgauge ingest key NAME` prints it for the file.

    sha256: of the key, which is kept nowhere. roles: write sends readings, read exports and sees /metrics.
    rate: readings a second, on average; each request counts as one at least. No limit when left out.
    """

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    roles: Annotated[tuple[Literal["write", "read"], ...], msgspec.Meta(min_length=1)] = ("write",)
    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Http(Section, frozen=True):
    """`streamgauge ingest http`: readings over HTTP into the first topic of Kafka; what is stored, out of ClickHouse.

    listen: "host:port". Without keys only loopback, for then everybody who gets there may do everything.
    keys: by the names of those who have them.
    cert_file, key_file, key_password: HTTPS, as PEM files.
    max_body_bytes: of one request, packed and unpacked; but for NDJSON 2 MB at most. body_timeout: for it to arrive.
    memory_bytes: of all bodies at a time. queue_bytes: of readings that wait for Kafka; more are answered 429.
    max_connections: more are answered 503.
    kafka_timeout: Kafka has taken nothing for so long: readings are answered 503.
    ack_timeout: how long `?ack=all` waits for Kafka.
    max_rows: of one answer of the read API; there are pages. exports: how many are made at a time.
    """

    listen: str = "127.0.0.1:8080"
    keys: dict[str, HttpKey] = msgspec.field(default_factory=dict)
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret = Secret("")
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_000, le=64_000_000)] = 16_000_000
    body_timeout: Duration = Duration(30_000)
    memory_bytes: Count = 128_000_000
    queue_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 64_000_000
    max_connections: Count = 1_000
    kafka_timeout: Duration = Duration(10_000)
    ack_timeout: Duration = Duration(30_000)
    max_rows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100_000
    exports: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
