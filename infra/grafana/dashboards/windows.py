"""Windows: what the sensors measure, as tumbling and sliding aggregates."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base
from infra.grafana.base import PLACE, most
from infra.grafana.panels import MORE_IS_BETTER, Panel, band, lines, number, rows, stripes

CHOSEN = f"`window` = ${{window:singlequote}} AND $__timeFilter(start)\n    AND {PLACE}"


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-windows",
        "streamgauge / Windows",
        "What the sensors measure: aggregates of tumbling and sliding windows, one row of charts per sensor type.",
        variables=[base.window(), base.location(), base.sensor_type()],
        annotations=[base.alerts(), base.changes()],
        since="now-3h",
        sections=[("", _headline()), ("", _wholeness()), ("", _newest()), ("$sensor_type", _of_type())],
        repeat="sensor_type",
    )


def _headline() -> list[Panel]:
    return [
        number(
            "Windows",
            f"SELECT count() AS windows FROM windows_final WHERE {CHOSEN}",
            about="Closed windows of the chosen name in the time range, one per group.",
            history=False,
        ),
        number(
            "Groups",
            f"""
SELECT $__timeInterval(start) AS time, uniqExact(sensor_type, location, asset_id, unit, topic) AS groups
FROM windows_final
WHERE {CHOSEN}
GROUP BY time
ORDER BY time
""",
            about="Locations and types that the window is made for.",
        ),
        number(
            "Length",
            f"SELECT any(size_ms) AS size, any(hop_ms) AS hop FROM windows_final WHERE {CHOSEN}",
            about="Length of the window, and the distance of its starts: equal for a tumbling one.",
            unit="ms",
            history=False,
        ),
        number(
            "Completeness",
            f"""
SELECT $__timeInterval(start) AS time, least(1, sum(count) / nullIf(sum(expected_count), 0)) AS share
FROM windows_final
WHERE {CHOSEN}
GROUP BY time
ORDER BY time
""",
            about="Readings that came, of those expected.",
            unit="percentunit",
            steps=MORE_IS_BETTER,
            decimals=2,
        ),
        number(
            "Incomplete windows",
            f"SELECT countIf(NOT complete) AS begun, countIf(count = 0) AS empty FROM windows_final WHERE {CHOSEN}",
            about="begun: their begin was not seen, as after a start. empty: a known group without readings.",
            steps=((None, "green"), (1, "yellow")),
            history=False,
        ),
        number(
            "Flagged readings",
            f"""
SELECT $__timeInterval(start) AS time, sum(anomaly_count) AS anomalies
FROM windows_final
WHERE {CHOSEN}
GROUP BY time
ORDER BY time
""",
            about="Summed over the windows; sliding ones count a reading more than once.",
            reduce="sum",
        ),
    ]


def _wholeness() -> list[Panel]:
    worst = most("sum(count) / nullIf(sum(expected_count), 0)", CHOSEN)
    return [
        stripes(
            "Completeness of windows",
            f"""
SELECT
    $__timeInterval(start) AS time,
    concat(location, if(sensor_type = '', '', concat(' / ', sensor_type))) AS series,
    least(1, sum(if(complete, count, 0)) / nullIf(sum(expected_count), 0)) AS share
FROM windows_final
WHERE {worst}
GROUP BY time, series
ORDER BY time, series
""",
            about="Of the sixty least complete groups. Windows whose begin was not seen count as 0.",
            steps=MORE_IS_BETTER,
        )
    ]


def _newest() -> list[Panel]:
    return [
        rows(
            "Newest windows",
            f"""
SELECT start, end, location, sensor_type, unit, count, mean, min, max, stddev, p50, p95, anomaly_count, completeness
FROM windows_final
WHERE {CHOSEN}
ORDER BY start DESC, location, sensor_type
LIMIT 200
""",
            about="The aggregates as they are stored; p50 and p95 are within 1 % of the value.",
            cells={"completeness": MORE_IS_BETTER},
            width=24,
            height=8,
        )
    ]


def _of_type() -> list[Panel]:
    # Each copy of the row has one type; $__conditionalAll would look at what is chosen for all of them.
    here = (
        "`window` = ${window:singlequote} AND $__timeFilter(start) AND count > 0\n"
        "    AND sensor_type IN (${sensor_type:singlequote})\n"
        "    AND $__conditionalAll(location IN (${location:singlequote}), $location)"
    )
    return [
        band(
            lines(
                "Mean, smallest, largest: $sensor_type",
                f"""
SELECT
    $__timeInterval(start) AS time,
    min(windows_final.min) AS lowest,
    max(windows_final.max) AS highest,
    sum(mean * count) / sum(count) AS average,
    max(p95) AS `95 % below`
FROM windows_final
WHERE {here}
GROUP BY time
ORDER BY time
""",
                about="Over all chosen locations: the mean, and the band from the smallest to the largest value.",
            ),
            "lowest",
            "highest",
            "average",
        ),
        lines(
            "Mean by location: $sensor_type",
            f"""
SELECT $__timeInterval(start) AS time, location AS series, sum(mean * count) / sum(count) AS average
FROM windows_final
WHERE {here}
GROUP BY time, series
ORDER BY time, series
""",
            about="Trends of the means; a location that leaves the others is worth a look.",
        ),
        lines(
            "Standard deviation: $sensor_type",
            f"""
SELECT
    $__timeInterval(start) AS time,
    location AS series,
    sqrt(sum(stddev * stddev * count) / sum(count)) AS deviation
FROM windows_final
WHERE {here}
GROUP BY time, series
ORDER BY time, series
""",
            about="How much values scatter within a window: noise bursts rise, stuck sensors fall to 0.",
            low=0,
            height=6,
        ),
        lines(
            "Flagged readings: $sensor_type",
            f"""
SELECT $__timeInterval(start) AS time, location AS series, sum(anomaly_count) AS anomalies
FROM windows_final
WHERE {here}
GROUP BY time, series
ORDER BY time, series
""",
            about="Readings of the windows that the verdict flagged, by location.",
            bars=True,
            stacked=True,
            low=0,
            height=6,
        ),
    ]
