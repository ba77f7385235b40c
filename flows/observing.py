"""What commands that run for long tell of themselves and of their machine, as [observe] says."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from platform import node

from flows.health_alerts import HealthAlerts, HealthChange
from flows.production import clickhouse_address
from flows.settings import Settings, SettingsError
from infra.clickhouse.alerts import open_rules
from infra.clickhouse.client import ClickHouseError, connect
from infra.clickhouse.events import Event, store
from infra.observe import logs
from infra.observe.system import Change, Judge, Machine, logger, watched
from infra.observe.traces import Traces, TracesUnavailable

_SECRET_WORDS = ("password", "secret")
_SHORT_OF = "short of "


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


@contextmanager
def machine_watched(settings: Settings) -> Iterator[None]:
    """While in the block, tell when this machine becomes short of something: once per machine, not per worker.

    In the log, as metrics, in `events`, where nothing else depends on it, and as alerts.
    """
    machine = Machine(tuple(dict.fromkeys((settings.worker.recovery_dir, settings.data_dir))))
    alerts = MachineAlerts(settings)
    with watched(machine, alerts.judge, alerts.tell):
        yield


class MachineAlerts:
    """Tells of this machine in `events` and as alerts; without ClickHouse, in the log only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._alerts = HealthAlerts(settings)

    def judge(self) -> Judge:
        """One that knows what was told before and is not over."""
        observe = self._settings.observe
        degraded: list[str] = []
        with suppress(ClickHouseError), connect(clickhouse_address(self._settings)) as client:
            degraded = [rule.removeprefix(_SHORT_OF) for rule in open_rules(client, _SHORT_OF, node())]
        return Judge(
            max_cpu=observe.max_cpu, min_memory=observe.min_memory, min_disk=observe.min_disk, degraded=degraded
        )

    def tell(self, changes: Sequence[Change]) -> None:
        """What has changed."""
        now_ms = round(time.time() * 1000)
        try:
            with connect(clickhouse_address(self._settings)) as client:
                store(client, [Event(now_ms, change.kind, change.subject, change.detail) for change in changes])
                self._alerts.tell(client, [_health_change(change, now_ms) for change in changes])
        except ClickHouseError as error:
            logger.warning("this is neither in the table events nor an alert: %s", error)


def _health_change(change: Change, now_ms: int) -> HealthChange:
    return HealthChange(
        rule=f"{_SHORT_OF}{change.subject}",
        subject=(node(),),
        at_ms=now_ms,
        over=change.kind == "recovered",
        severity="critical" if change.subject.startswith("disk") else "warning",
        detail=change.detail,
    )
