"""Logs and traces of commands that run for long, as [observe] says."""

from contextlib import AbstractContextManager, nullcontext

from flows.settings import Settings, SettingsError
from infra.observe import logs
from infra.observe.traces import Traces, TracesUnavailable

_SECRET_WORDS = ("password", "secret")


def set_up_logs(settings: Settings, process: int | str | None = None) -> None:
    """Log as configured from here on. process: which one of several that log beside each other.

    Raises SettingsError when the file cannot be written.
    """
    observe = settings.observe
    try:
        logs.configure(
            form=observe.log_format,
            file=observe.log_file,
            max_bytes=observe.log_max_bytes,
            backups=observe.log_backups,
            repeats=observe.log_repeats,
            secrets=secrets(settings),
            process=process,
        )
    except OSError as error:
        raise SettingsError(f"observe.log_file = '{observe.log_file}': {error.strerror}; name another file") from None


def secrets(settings: Settings) -> list[str]:
    """Every text among the settings that nobody may read."""
    client = settings.kafka.client
    hidden = [str(value) for name, value in client.items() if any(word in name for word in _SECRET_WORDS)]
    mqtt = settings.mqtt
    passwords = (settings.kafka.password, settings.clickhouse.password, mqtt.password, mqtt.key_password)
    channels = (str(one) for channel in settings.notify.channels for one in (channel.password, channel.secret))
    return [one for one in (*hidden, *map(str, passwords), str(settings.http.key_password), *channels) if one]


def traced(settings: Settings, flow: str, process: int | None = None) -> AbstractContextManager[object]:
    """While in the block, spans go to the collector of [observe] traces, if one is named. Raises SettingsError."""
    url = settings.observe.traces
    if not url:
        return nullcontext()
    resource = {"service.name": "streamgauge", "streamgauge.flow": flow, "service.instance.id": str(process or 0)}
    try:
        return Traces(url, resource)
    except TracesUnavailable as error:
        raise SettingsError(f"observe.traces = '{url}': {error}, or \"\" for none") from None
