"""Numbers that stand on more than one dashboard."""

from infra.grafana.base import GROUPS, PLACE
from infra.grafana.panels import (
    FEWER_IS_BETTER,
    MORE_IS_BETTER,
    SEVERITY_COLOURS,
    Panel,
    colour_columns,
    number,
)


def completeness() -> Panel:
    """Over all groups."""
    return number(
        "Completeness",
        f"""
SELECT $__timeInterval(start) AS time, least(1, sum(count) / nullIf(sum(expected_count), 0)) AS share
FROM windows_final
WHERE {GROUPS}
GROUP BY time
ORDER BY time
""",
        about="Readings that came, of those expected from the sensors' intervals.",
        unit="percentunit",
        steps=MORE_IS_BETTER,
        decimals=2,
    )


def share_of_anomalies() -> Panel:
    """Over all groups."""
    return number(
        "Share of anomalies",
        f"""
SELECT $__timeInterval(start) AS time, sum(anomaly_count) / nullIf(sum(count), 0) AS share
FROM windows_final
WHERE {GROUPS}
GROUP BY time
ORDER BY time
""",
        about="Readings flagged by the verdict, of all readings on time.",
        unit="percentunit",
        steps=FEWER_IS_BETTER,
        decimals=2,
    )


def open_alerts(title: str, *, width: int = 4) -> Panel:
    """By severity; an alert on a whole location stands for those of its sensors."""
    counted = number(
        title,
        f"""
SELECT
    countIf(severity = 'critical') AS critical,
    countIf(severity = 'warning') AS warning,
    countIf(severity = 'info') AS info
FROM alerts_current
WHERE status IN ('open', 'acknowledged')
    AND {PLACE}
""",
        about="Alerts that last, whenever they began; silenced and inhibited ones left out.",
        history=False,
        width=width,
    )
    return colour_columns(counted, SEVERITY_COLOURS)
