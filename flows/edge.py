"""Names on a device: topics and readers of its own log, files under `data_dir`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.settings import Settings, SettingsError
from flows.settings_edge import Forwarded
from flows.settings_notify import Target

FORWARDING, TELLING_VERDICTS = "streamgauge-forward", "streamgauge-verdicts"
"""Groups, under which is kept what was read."""
_ALERTS_OVER_MQTT = Target(name="device", topic="alerts/{sensor_id}/notification", severity="info")


def topics(settings: Settings) -> dict[Forwarded, str]:
    """Of the log. Raises SettingsError."""
    kafka = settings.kafka
    if not kafka.alerts_topic:
        raise SettingsError('kafka.alerts_topic = "": alerts go through it; name it, "sensors.alerts" for example')
    base = kafka.alerts_topic.removesuffix("alerts")
    verdicts, windows = f"{base}verdicts", f"{base}windows"
    return {"readings": kafka.topics[0], "alerts": kafka.alerts_topic, "verdicts": verdicts, "windows": windows}


def forwarded(settings: Settings) -> tuple[Forwarded, ...]:
    """What goes to a Kafka elsewhere."""
    return settings.edge.forward if settings.edge.upstream else ()


def readers(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Of each topic that is written, the groups that read it."""
    first: dict[Forwarded, tuple[str, ...]] = {
        "readings": (settings.kafka.group,),
        "alerts": (settings.notify.group,),
        "verdicts": (TELLING_VERDICTS,) if settings.edge.verdicts_topic else (),
        "windows": (),
    }
    wanted = forwarded(settings)
    groups = {kind: (*some, *((FORWARDING,) if kind in wanted else ())) for kind, some in first.items()}
    return {topic: groups[kind] for kind, topic in topics(settings).items() if groups[kind]}


def channels(settings: Settings) -> tuple[Target, ...]:
    """Who is told of alerts: as configured, and in any case who listens to MQTT."""
    given = settings.notify.channels
    return given if any(one.topic for one in given) else (*given, _ALERTS_OVER_MQTT)


def home(settings: Settings) -> Path:
    """Where everything but ClickHouse's data is."""
    return Path(settings.data_dir).absolute() / "edge"


def log_dir(settings: Settings) -> Path:
    """Of the embedded broker."""
    return home(settings) / "log"
