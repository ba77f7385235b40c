"""Logs and traces of commands that run for long, as [observe] says."""

from contextlib import AbstractContextManager, nullcontext

from flows.settings import Settings, SettingsError
from flows.settings_secrets import secrets
from infra.observe import logs
from infra.observe.traces import Traces, TracesUnavailable


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
            secrets=tuple(secrets(settings)),
            process=process,
        )
    except OSError as error:
        raise SettingsError(f"observe.log_file = '{observe.log_file}': {error.strerror}; name another file") from None


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
