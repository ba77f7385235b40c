"""Who is told of alerts: the section `[notify]` of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Duration, Name, Port, Secret, Section
from infra.notify.text import check

_DAY = 86_400_000


class Target(Section, frozen=True):
    """A channel: a webhook when it has a url, e-mail with a host, MQTT with a topic, apprise with its address.

    apprise: "slack://...", see https://appriseit.com/services/; it holds tokens: better in a file, as apprise_file.
    secret: signs what is posted, see infra/notify/webhook.py. sender, recipients: addresses. security: of SMTP.
    topic, state_topic: with {sensor_id} and {rule}; the broker is that of [mqtt]. The state is retained; "": none.
    severity: the least that is told. resolved: whether ends are told.
    wait: told so long after it came, unless it is over, or inhibited by a larger alert, by then.
    per_minute: more than so many in a minute are told as one summary; not over MQTT.
    repeat: what is still open so long after it was told, and nobody has acknowledged, is told once more; "0s": never.
    title, body: of e-mail and apprise, templates with $reason and the like, see infra/notify/text.py; "" for the usual.
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
    apprise: Secret = Secret("")
    severity: Literal["info", "warning", "critical"] = "warning"
    resolved: bool = True
    wait: Duration = Duration(0)
    per_minute: Count = 20
    repeat: Duration = Duration(0)
    title: str = ""
    body: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.url, self.host, self.topic, self.apprise))) != 1:
            raise ValueError(
                f"channel {self.name!r}: give it a url (webhook), a host (e-mail), a topic (MQTT) or apprise's address"
            )
        for field, text in (("title", self.title), ("body", self.body)):
            if text and (self.url or self.topic):
                raise ValueError(f"channel {self.name!r}: {field}: webhooks and MQTT carry JSON, not words")
            try:
                check(text)
            except ValueError as error:
                raise ValueError(f"channel {self.name!r}: {field}: {error}") from None
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
