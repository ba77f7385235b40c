"""What one small device is told: the section `[edge]` of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Secret, Section

Forwarded = Literal["readings", "alerts", "windows", "verdicts"]


class Edge(Section, frozen=True):
    """`streamgauge edge`: a whole pipeline on one device. Its own topics have the names of [kafka].

    listen: where the embedded MQTT broker listens; "" for none, and when mqtt.url names another broker.
    verdicts_topic: MQTT topic of the verdict on each flagged reading, with {sensor_id}; "": none.
    upstream: "host:port" of a Kafka elsewhere; "": nothing is forwarded. client, password: as those of [kafka].
    forward: what goes there, as topics of the same names, prefix before them.
    rate: messages a second at most, for when it was away.
    spool_bytes: of what waits for it on disk, packed; beyond that the oldest is dropped, and told.
    log_bytes: of each topic of the device's own log, when somebody does not read it; else what was read goes at once.
    """

    listen: str = "127.0.0.1:1883"
    verdicts_topic: Annotated[str, msgspec.Meta(pattern=r"^([^+#{}]|\{sensor_id\})*$")] = "verdicts/{sensor_id}"
    upstream: str = ""
    client: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    password: Secret = Secret("")
    forward: tuple[Forwarded, ...] = ("readings", "alerts")
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    rate: Count = 5_000
    spool_bytes: Count = 1_000_000_000
    log_bytes: Annotated[int, msgspec.Meta(ge=1_000_000, le=1_000_000_000)] = 32_000_000
