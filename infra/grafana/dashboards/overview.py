"""Overview: is all well, and where is it not?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base, headlines
from infra.grafana.base import GROUPS, KNOWN, PLACE, SENSORS, most
from infra.grafana.panels import (
    FEWER_IS_BETTER,
    MORE_IS_BETTER,
    Panel,
    lines,
    number,
    rows,
    stripes,
)


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-overview",
        "streamgauge / Overview",
        "Is all well, and where is it not? Start here; a sensor's name leads to that sensor.",
        variables=[base.location(), base.sensor_type(), base.groups(), base.by_sensor()],
        annotations=[base.alerts(), base.changes()],
        refresh="10s",
        sections=[("", _headline()), ("", _where()), ("", _over_time()), ("", _who())],
    )


def _headline() -> list[Panel]:
    return [
        number(
            "Readings a second",
            f"""
SELECT $__timeInterval(start) AS time, sum(count) * 1000 / (uniqExact(start) * any(size_ms)) AS rate
FROM windows_final
WHERE {GROUPS}
GROUP BY time
ORDER BY time
""",
            about="Readings on time in closed windows, by event time.",
            unit="short",
            decimals=1,
        ),
        number(
            "Sensors active",
            f"""
SELECT $__timeInterval(start) AS time, uniqExactIf(sensor_id, count > 0) AS sensors
FROM windows_final
WHERE {SENSORS}
GROUP BY time
ORDER BY time
""",
            about="Sensors with at least one reading in a window.",
        ),
        headlines.share_of_anomalies(),
        headlines.open_alerts("Open alerts"),
        headlines.completeness(),
        number(
            "Behind the clock",
            f"""
SELECT dateDiff('second', max(end), now()) AS seconds
FROM windows_final
WHERE {GROUPS}
""",
            about="Wall-clock time since the end of the newest closed window. Grows while nothing is read.",
            unit="s",
            steps=((None, "green"), (180, "yellow"), (600, "red")),
            history=False,
        ),
    ]


def _where() -> list[Panel]:
    worst = most("sum(anomaly_count) / nullIf(sum(count), 0) DESC", GROUPS)
    return [
        stripes(
            "Share of anomalies, by location and type",
            f"""
SELECT
    $__timeInterval(start) AS time,
    concat(location, if(sensor_type = '', '', concat(' / ', sensor_type))) AS series,
    sum(anomaly_count) / nullIf(sum(count), 0) AS share
FROM windows_final
WHERE {worst}
GROUP BY time, series
ORDER BY time, series
""",
            about="The sixty groups with the largest share. Green is usual; gaps had no reading.",
            steps=FEWER_IS_BETTER,
            height=10,
        )
    ]


def _over_time() -> list[Panel]:
    return [
        lines(
            "Anomalies",
            f"""
SELECT $__timeInterval(start) AS time, location AS series, sum(anomaly_count) AS anomalies
FROM windows_final
WHERE {GROUPS}
GROUP BY time, series
ORDER BY time, series
""",
            about="Flagged readings in each bar, by location.",
            bars=True,
            stacked=True,
            low=0,
        ),
        lines(
            "Readings a second, by location",
            f"""
SELECT
    $__timeInterval(start) AS time,
    location AS series,
    sum(count) * 1000 / (uniqExact(start) * any(size_ms)) AS rate
FROM windows_final
WHERE {GROUPS}
GROUP BY time, series
ORDER BY time, series
""",
            about="Readings on time, by event time, by location. A dip that is not planned is worth a look.",
            stacked=True,
            low=0,
        ),
    ]


def _who() -> list[Panel]:
    return [
        rows(
            "Sensors to look at first",
            f"""
SELECT
    sensor_id,
    any(known.location) AS location,
    any(known.sensor_type) AS sensor_type,
    sum(anomaly_count) / nullIf(sum(count), 0) AS anomalies,
    least(1, sum(count) / nullIf(sum(expected_count), 0)) AS completeness,
    sum(count) AS readings,
    maxIf(start, anomaly_count > 0) AS last_anomaly
FROM windows_final
LEFT JOIN {KNOWN} AS known USING (sensor_id)
WHERE {SENSORS}
GROUP BY sensor_id
ORDER BY anomalies DESC, completeness, sensor_id
LIMIT 50
""",
            about="By the share of their readings that were flagged in the time range.",
            gauges={"anomalies": FEWER_IS_BETTER},
            cells={"completeness": MORE_IS_BETTER},
            link=True,
            width=14,
            height=11,
        ),
        rows(
            "Newest alerts",
            f"""
SELECT started_at AS time, severity, state, sensor_id, location, reason
FROM alerts_current
WHERE $__timeFilter(started_at)
    AND {PLACE}
ORDER BY time DESC
LIMIT 50
""",
            about="Alerts that began in the time range.",
            link=True,
            width=10,
            height=11,
        ),
    ]
