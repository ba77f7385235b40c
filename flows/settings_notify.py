"""Who is told of alerts: the section `[notify]` of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Duration, Name, Port, Secret, Section

_DAY = 86_400_000


class Target(Section, frozen=True):
    """A channel: a webhook when it has a url, e-mail when it has a host, MQTT when it has a topic.

    secret: signs what is posted, see infra/notify/webhook.py. sender, recipients: addresses. security: of SMTP.
    topic, state_topic: with {sensor_id} and {rule}; the broker is that of [mqtt]. The state is retained; "": none.
    severity: the least that is told. resolved: whether ends are told.
    wait: told so long after it came, unless it is over, or inhibited by a larger alert, by then.
    per_minute: more than so many in a minute are told as one summary; not over MQTT.
    """

    name: Name
    url: Annotated[str, msgspec.Meta(pattern=r"^(https?://.+)?$")] = ""
    secret: Secret = Secret("")
    host: str = ""
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: Secret = Secret("")
    sender: str = ""
    recipients: tuple[str, ...] = ()
    topic: Annotated[str, msgspec.Meta(pattern=r"^[^+#]*$")] = ""
    state_topic: Annotated[str, msgspec.Meta(pattern=r"^[^+#]*$")] = "alerts/{sensor_id}/state/{rule}"
    severity: Literal["info", "warning", "critical"] = "warning"
    resolved: bool = True
    wait: Duration = Duration(0)
    per_minute: Count = 20

    def __post_init__(self) -> None:
        if sum(map(bool, (self.url, self.host, self.topic))) != 1:
            raise ValueError(f"channel {self.name!r}: give it a url (webhook), a host (e-mail) or a topic (MQTT)")
        if self.host and not (self.sender and self.recipients):
            raise ValueError(f"channel {self.name!r}: e-mail needs sender and recipients")


class Notify(Section, frozen=True):
    """`streamgauge notify`: tells of the alerts in kafka.alerts_topic.

    record: its SQLite file of what was told. group: its consumer group; one notifier a group.
    max_age: what happened longer ago is not told, for history that is read once more; "0s": everything is.
    keep: how long is remembered what was told.
    """

    record: str = ".streamgauge/notify.sqlite"
    group: str = "streamgauge-notify"
    max_age: Duration = Duration(3_600_000)
    keep: Duration = Duration(30 * _DAY)
    channels: tuple[Target, ...] = ()
