"""Alerts by the wall clock, of what watches flow and machine: no part of what a flow computes and a replay repeats.

partition, plant, flow silent ----> opens, stays open while it lasts, over -> rows of `alerts` with source health,
machine short of something -------'                                           and the topic of alerts
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.places import connection
from flows.settings import Settings
from infra.clickhouse.alerts import open_health, store_alerts
from infra.clickhouse.client import Client
from infra.kafka.alerts import messages
from infra.kafka.client import KafkaFailure
from infra.kafka.producer import Producer
from operators.alert_rows import Alert, alert_rows, fingerprint
from operators.alert_rules import Severity

_DELIVERY_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """Something has begun, or is over. subject: what, and where if it is told apart by that.

    at_ms: Unix milliseconds.
    """

    rule: str
    subject: tuple[str, ...]
    at_ms: int
    over: bool
    severity: Severity
    detail: str
    evidence: dict[str, object] = field(default_factory=dict)


class HealthAlerts:
    """Tells of changes: first in the table, then in the topic, if there is one and Kafka can be reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def tell(self, client: Client, changes: Sequence[HealthChange]) -> None:
        """What is open already is not opened again. Raises ClickHouseError."""
        alerts = [alert for change in changes for alert in _alerts(client, change)]
        if not alerts:
            return
        store_alerts(client, alerts)
        topic = self._settings.kafka.alerts_topic
        if not topic:
            return
        try:
            with Producer(connection(self._settings), {"linger.ms": 0}) as producer:
                producer.produce_many(topic, messages(alert_rows(alerts)[0]))
                producer.flush(timeout_s=_DELIVERY_S)
        except KafkaFailure as failure:
            logger.warning("alerts are in ClickHouse, but not in topic %s: %s", topic, failure)


def _alerts(client: Client, change: HealthChange) -> list[Alert]:
    begun = open_health(client, fingerprint(change.rule, change.subject))
    if not change.over:
        return [] if begun else [_alert(change, change.at_ms, None)]
    return [_alert(change, started_ms, max(change.at_ms, started_ms)) for started_ms in begun]


def _alert(change: HealthChange, started_ms: int, ended_ms: int | None) -> Alert:
    return Alert(
        rule=change.rule,
        severity=change.severity,
        labels={},
        named_by=change.subject,
        started_ms=started_ms,
        fired_ms=started_ms,
        updated_ms=started_ms if ended_ms is None else ended_ms,
        ended_ms=ended_ms,
        sensors=0,
        reason=f"{' '.join(change.subject)}: {change.detail}",
        evidence=dict(change.evidence),
        source="health",
    )
