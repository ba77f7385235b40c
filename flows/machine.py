"""Is this machine short of something? Told in the log, as metrics, in `events` and as alerts."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from platform import node

from flows.health_alerts import HealthAlerts, HealthChange
from flows.places import clickhouse_address
from flows.settings import Settings
from infra.clickhouse.alerts import open_rules
from infra.clickhouse.client import ClickHouseError, connect
from infra.clickhouse.events import Event, store
from infra.observe.system import Change, Judge, Machine, logger, watched

_SHORT_OF = "short of "


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
