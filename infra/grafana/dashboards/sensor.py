"""One sensor: where all links lead."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base
from infra.grafana.names import SENSOR_UID
from infra.grafana.panels import (
    FEWER_IS_BETTER,
    MORE_IS_BETTER,
    Panel,
    band,
    columns,
    dots,
    lines,
    number,
    rows,
)

THIS = "sensor_id = ${sensor:singlequote} AND $__timeFilter(readings_final.time)"
ITS_WINDOWS = "`window` = ${by_sensor:singlequote} AND sensor_id = ${sensor:singlequote} AND $__timeFilter(start)"


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        SENSOR_UID,
        "streamgauge / Sensor",
        "One sensor: its values beside what was forecast, what each detector says, what is wrong with its data.",
        variables=[base.location(), base.sensor_type(), base.sensor(), base.by_sensor()],
        annotations=[base.alerts(of_sensor=True), base.changes()],
        refresh="10s",
        sections=[
            ("", _headline()),
            ("", _values()),
            ("What the detectors say", _detectors()),
            ("In the long run", _long_run()),
        ],
    )


def _headline() -> list[Panel]:
    return [
        number(
            "Newest value of $sensor",
            f"""
SELECT concat(toString(round(argMax(value, time), 3)), ' ', any(unit)) AS newest
FROM readings_final
WHERE {THIS}
""",
            about="The newest value in the time range, with its unit.",
            history=False,
            unit="string",
            width=5,
        ),
        number(
            "Where it is",
            f"""
SELECT concat(any(location), if(any(asset_id) = '', '', concat(', ', any(asset_id)))) AS place
FROM readings_final
WHERE {THIS}
""",
            about="Location and asset.",
            history=False,
            unit="string",
            width=7,
        ),
        number(
            "Readings",
            f"""
SELECT $__timeInterval(start) AS time, sum(count) AS readings
FROM windows_final
WHERE {ITS_WINDOWS}
GROUP BY time
ORDER BY time
""",
            about="Readings on time in the time range.",
            reduce="sum",
        ),
        number(
            "Share of anomalies",
            f"""
SELECT sum(anomaly_count) / nullIf(sum(count), 0) AS share
FROM windows_final
WHERE {ITS_WINDOWS}
""",
            about="Readings flagged by the verdict.",
            unit="percentunit",
            steps=FEWER_IS_BETTER,
            history=False,
            decimals=2,
        ),
        number(
            "Completeness",
            f"""
SELECT least(1, sum(count) / nullIf(sum(expected_count), 0)) AS share
FROM windows_final
WHERE {ITS_WINDOWS}
""",
            about="Readings that came, of those expected from its interval.",
            unit="percentunit",
            steps=MORE_IS_BETTER,
            history=False,
            decimals=2,
        ),
    ]


def _values() -> list[Panel]:
    chart = lines(
        "Values, what was expected, anomalies",
        f"""
SELECT
    $__timeInterval(time) AS time,
    min(expected_low) AS lower,
    max(expected_high) AS upper,
    avg(value) AS measured,
    if(countIf(is_anomaly) > 0, argMaxIf(value, score, is_anomaly), NULL) AS anomaly
FROM readings_final
WHERE {THIS}
GROUP BY time
ORDER BY time
""",
        about="The mean of what was measured in each point, the band that was forecast, and the most novel anomaly.",
        width=24,
        height=10,
    )
    return [dots(band(chart, "lower", "upper", "measured"), "anomaly", "anomaly")]


def _detectors() -> list[Panel]:
    return [
        lines(
            "Surprise by detector",
            f"""
SELECT $__timeInterval(time) AS time, detector AS series, max(surprise) AS highest
FROM
(
    SELECT time, mapKeys(surprises) AS names, mapValues(surprises) AS values
    FROM readings_final
    WHERE {THIS}
)
ARRAY JOIN names AS detector, values AS surprise
WHERE isFinite(surprise)
GROUP BY time, series
ORDER BY time, series
""",
            about="-log10 of the chance of such a raw score in the sensor's own past: 3 is one in a thousand.",
            legend="table",
            low=0,
            width=12,
            height=9,
        ),
        lines(
            "Novelty score",
            f"""
SELECT $__timeInterval(time) AS time, maxIf(score, isFinite(score)) AS novelty
FROM readings_final
WHERE {THIS}
GROUP BY time
ORDER BY time
""",
            about="How new the moment is beside all the sensor has shown; ranks what to look at.",
            low=0,
            width=12,
            height=9,
        ),
        rows(
            "Anomalies",
            f"""
SELECT time, value, expected, score, label, quality, arrayStringConcat(flagged_by, ', ') AS flagged_by
FROM readings_final
WHERE {THIS} AND is_anomaly
ORDER BY time DESC
LIMIT 200
""",
            about="Flagged readings, newest first. `streamgauge explain-reading SENSOR TIME` shows one in full.",
            width=14,
        ),
        rows(
            "Episodes of bad data",
            """
SELECT kind, start, end, readings, value
FROM data_quality_final
WHERE sensor_id = ${sensor:singlequote} AND start <= $__toTime AND ifNull(end, $__toTime) >= $__fromTime
ORDER BY start DESC
LIMIT 200
""",
            about="Gaps, stuck and conflicting values, values out of range; no end: it lasts.",
            width=10,
        ),
    ]


def _long_run() -> list[Panel]:
    return [
        band(
            lines(
                "Mean, smallest, largest",
                f"""
SELECT
    $__timeInterval(start) AS time,
    min(windows_final.min) AS lowest,
    max(windows_final.max) AS highest,
    sum(mean * count) / nullIf(sum(count), 0) AS average
FROM windows_final
WHERE {ITS_WINDOWS}
GROUP BY time
ORDER BY time
""",
                about="From the windows by sensor, which are kept for long: choose weeks.",
            ),
            "lowest",
            "highest",
            "average",
        ),
        columns(
            "Mean by hour of the day",
            f"""
SELECT formatDateTime(start, '%H:00') AS hour, sum(mean * count) / nullIf(sum(count), 0) AS average
FROM windows_final
WHERE {ITS_WINDOWS}
GROUP BY hour
ORDER BY hour
""",
            about="What is usual at each hour (UTC), of the last seven days.",
            name="hour",
            height=8,
        ).time_from("7d"),
    ]
