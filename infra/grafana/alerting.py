"""Alert rules that Grafana evaluates by the wall clock, and whom it tells.

The flow raises the alerts on sensors by itself; these are about what it raised, and about the flow being alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.models.alerting import Query as AlertQuery
from grafana_foundation_sdk.models.alerting import RelativeTimeRange

from infra.grafana.datasource import Query
from infra.grafana.names import CONTACT_POINT, DATASOURCE_UID, FOLDER_TITLE, RULE_GROUP

EXPRESSIONS = "__expr__"
"""Grafana's own data source of expressions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A query whose rows have labels and one number, and the number from which it is an alert.

    sql: macros see the last `minutes`. lasting: for how long before somebody is told.
    no_data: what it means when there is not a single row. board: where to look, by uid.
    """

    uid: str
    title: str
    summary: str
    severity: Literal["warning", "critical"]
    sql: str
    above: float
    below: bool = False
    minutes: int = 10
    lasting: str = "2m"
    no_data: Literal["OK", "Alerting"] = "OK"
    board: str


RULES: Sequence[Rule] = (
    Rule(
        uid="streamgauge-flow-silent",
        title="The flow counts nothing",
        summary="The flow has written nothing into its ledger for {{ $values.A.Value }} s: is it running?"
        " See `streamgauge watch` and the flow's log.",
        severity="critical",
        sql="SELECT dateDiff('second', max(stored_at), now()) AS seconds FROM ledger",
        above=300,
        no_data="Alerting",
        board="streamgauge-pipeline",
    ),
    Rule(
        uid="streamgauge-critical-alerts",
        title="Critical alerts that nobody has seen",
        summary="{{ $values.A.Value }} critical alerts are open in {{ $labels.location }}.",
        severity="critical",
        sql="""
SELECT location, count() AS alerts
FROM alerts_current
WHERE status = 'open' AND severity = 'critical'
GROUP BY location
""",
        above=0,
        lasting="0s",
        board="streamgauge-alerts",
    ),
    Rule(
        uid="streamgauge-anomalies",
        title="Many anomalies",
        summary="{{ humanizePercentage $values.A.Value }} of the readings of {{ $labels.sensor_type }} in"
        " {{ $labels.location }} are flagged.",
        severity="warning",
        sql="""
SELECT location, sensor_type, sum(anomaly_count) / sum(count) AS share
FROM windows_final
WHERE $__timeFilter(start) AND hop_ms = size_ms AND sensor_id = '' AND count > 0
GROUP BY location, sensor_type
""",
        above=0.25,
        lasting="5m",
        board="streamgauge-overview",
    ),
    Rule(
        uid="streamgauge-incomplete",
        title="Data is missing",
        summary="Only {{ humanizePercentage $values.A.Value }} of the readings of {{ $labels.sensor_type }} in"
        " {{ $labels.location }} arrive.",
        severity="warning",
        sql="""
SELECT location, sensor_type, sum(count) / sum(expected_count) AS share
FROM windows_final
WHERE $__timeFilter(start) AND hop_ms = size_ms AND sensor_id = '' AND complete AND expected_count > 0
GROUP BY location, sensor_type
""",
        above=0.8,
        below=True,
        lasting="5m",
        board="streamgauge-data-quality",
    ),
    Rule(
        uid="streamgauge-silent-sensors",
        title="Sensors are silent or stuck",
        summary="{{ $values.A.Value }} sensors in {{ $labels.location }} are {{ $labels.kind }}.",
        severity="warning",
        sql="""
SELECT location, kind, count() AS sensors
FROM data_quality_final
WHERE kind IN ('silent', 'stuck') AND end IS NULL AND start >= $__toTime - INTERVAL 7 DAY
GROUP BY location, kind
""",
        above=0,
        lasting="5m",
        board="streamgauge-data-quality",
    ),
    Rule(
        uid="streamgauge-refused",
        title="Many payloads are refused",
        summary="{{ $values.A.Value }} payloads were refused: {{ $labels.reason }}; see `streamgauge deadletters list`",
        severity="warning",
        sql="""
SELECT reason, count() AS refused
FROM dead_letters_final
WHERE $__timeFilter(kafka_time)
GROUP BY reason
""",
        above=100,
        lasting="0s",
        board="streamgauge-data-quality",
    ),
    Rule(
        uid="streamgauge-late",
        title="Many readings are late",
        summary="{{ humanizePercentage $values.A.Value }} of the readings of {{ $labels.location }} are late, and in no"
        " window: is event_time.lateness too short?",
        severity="warning",
        sql="""
SELECT location, countIf(quality IN ('late', 'after_idle')) / count() AS share
FROM readings_final
WHERE $__timeFilter(time)
GROUP BY location
""",
        above=0.05,
        lasting="5m",
        board="streamgauge-data-quality",
    ),
    Rule(
        uid="streamgauge-trouble",
        title="The flow or its machine is in trouble",
        summary="{{ $labels.kind }}: {{ $values.A.Value }} events in ten minutes; see Pipeline health.",
        severity="warning",
        sql="""
SELECT kind, count() AS events
FROM events_final
WHERE $__timeFilter(time) AND kind IN ('detector_off', 'degraded', 'silent', 'audit')
GROUP BY kind
""",
        above=0,
        lasting="0s",
        board="streamgauge-pipeline",
    ),
)


class _Threshold(Query):
    """Grafana's expression that decides by the query's number."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def to_json(self) -> dict[str, object]:
        """As in a rule's JSON."""
        kind = "lt" if self._rule.below else "gt"
        return {
            "refId": "B",
            "type": "threshold",
            "datasource": {"type": EXPRESSIONS, "uid": EXPRESSIONS},
            "expression": "A",
            "conditions": [{"evaluator": {"type": kind, "params": [self._rule.above]}}],
        }


def provisioning() -> dict[str, Any]:
    """The provisioning file: one group of rules, and the contact point they speak to.

    $STREAMGAUGE_ALERT_EMAIL is replaced by Grafana, when it reads the file.
    """
    mail = {"addresses": "$STREAMGAUGE_ALERT_EMAIL", "singleEmail": True}
    receiver = {"uid": "streamgauge-email", "type": "email", "settings": mail}
    group = {
        "orgId": 1,
        "name": RULE_GROUP,
        "folder": FOLDER_TITLE,
        "interval": "1m",
        "rules": [_rule(rule) for rule in RULES],
    }
    return {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": CONTACT_POINT, "receivers": [receiver]}],
        "groups": [group],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    lately = RelativeTimeRange(from_val=rule.minutes * 60, to=0)
    asked = AlertQuery(
        ref_id="A",
        datasource_uid=DATASOURCE_UID,
        model=Query(rule.sql.strip(), "table", "A"),
        relative_time_range=lately,
    )
    decided = AlertQuery(
        ref_id="B",
        datasource_uid=EXPRESSIONS,
        model=_Threshold(rule),
        relative_time_range=RelativeTimeRange(from_val=0, to=0),
    )
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "B",
        "data": [asked, decided],
        "for": rule.lasting,
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "isPaused": False,
        "labels": {"severity": rule.severity, "service": "streamgauge"},
        "annotations": {"summary": rule.summary, "__dashboardUid__": rule.board, "__panelId__": "1"},
        "notification_settings": {"receiver": CONTACT_POINT},
    }
