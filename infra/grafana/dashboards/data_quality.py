"""Data quality: what is missing, doubtful, late or refused."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base, headlines
from infra.grafana.base import GROUPS, PLACE, READINGS, SENSORS, most
from infra.grafana.panels import (
    MORE_IS_BETTER,
    Panel,
    lines,
    number,
    ranking,
    rows,
    stripes,
)

EPISODES = f"start <= $__toTime AND ifNull(end, $__toTime) >= $__fromTime\n    AND {PLACE}"


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-data-quality",
        "streamgauge / Data quality",
        "What is missing, doubtful, late or refused, and where it comes from.",
        variables=[base.location(), base.sensor_type(), base.groups(), base.by_sensor()],
        annotations=[base.changes()],
        since="now-3h",
        sections=[
            ("", _headline()),
            ("", _completeness()),
            ("Episodes of a sensor's data", _episodes()),
            ("Late, and refused", _refused()),
        ],
    )


def _headline() -> list[Panel]:
    return [
        headlines.completeness(),
        number(
            "Readings missing",
            f"""
SELECT sum(readings) AS missing
FROM data_quality_final
WHERE {EPISODES}
    AND kind IN ('gap', 'silent')
""",
            about="What would have come during gaps and silences, at the sensors' usual intervals.",
            steps=((None, "green"), (1, "yellow")),
            history=False,
        ),
        number(
            "Silent or stuck now",
            f"""
SELECT countIf(kind = 'silent') AS silent, countIf(kind = 'stuck') AS stuck
FROM data_quality_final
WHERE {EPISODES}
    AND end IS NULL
""",
            about="Episodes that still last: sensors not heard of, and sensors that repeat one value.",
            steps=((None, "green"), (1, "orange")),
            history=False,
        ),
        number(
            "Out of range",
            f"""
SELECT sum(readings) AS readings
FROM data_quality_final
WHERE {EPISODES}
    AND kind = 'out_of_range'
""",
            about="Readings outside the limits of their sensor or type.",
            steps=((None, "green"), (1, "orange")),
            history=False,
        ),
        number(
            "Late",
            f"""
SELECT countIf(quality IN ('late', 'after_idle')) / count() AS share
FROM readings_final
WHERE {READINGS}
""",
            about="Share of the readings that were older than the watermark: in no window. Many: raise `lateness`.",
            unit="percentunit",
            steps=((None, "green"), (0.001, "yellow"), (0.01, "red")),
            history=False,
            decimals=2,
        ),
        number(
            "Refused",
            "SELECT count() AS refused FROM dead_letters_final WHERE $__timeFilter(kafka_time)",
            about="Payloads in the dead letters, by the time of their Kafka message. Not filtered by place.",
            steps=((None, "green"), (1, "yellow"), (1000, "red")),
            history=False,
        ),
    ]


def _completeness() -> list[Panel]:
    worst = most("sum(count) / nullIf(sum(expected_count), 0)", GROUPS)
    return [
        stripes(
            "Completeness by location and type",
            f"""
SELECT
    $__timeInterval(start) AS time,
    concat(location, if(sensor_type = '', '', concat(' / ', sensor_type))) AS series,
    least(1, sum(count) / nullIf(sum(expected_count), 0)) AS share
FROM windows_final
WHERE {worst}
GROUP BY time, series
ORDER BY time, series
""",
            about="The sixty least complete groups. Holes that begin together have one cause, such as a gateway.",
            steps=MORE_IS_BETTER,
            width=14,
            height=10,
        ),
        rows(
            "Least complete sensors",
            f"""
SELECT
    sensor_id,
    least(1, sum(count) / nullIf(sum(expected_count), 0)) AS completeness,
    countIf(count = 0) AS empty_windows,
    maxIf(end, count > 0) AS last_heard
FROM windows_final
WHERE {SENSORS}
GROUP BY sensor_id
ORDER BY completeness, empty_windows DESC, sensor_id
LIMIT 100
""",
            about="In the time range; empty windows had not a single reading.",
            gauges={"completeness": MORE_IS_BETTER},
            link=True,
            width=10,
            height=10,
        ),
    ]


def _episodes() -> list[Panel]:
    return [
        lines(
            "Episodes begun",
            f"""
SELECT $__timeInterval(start) AS time, kind AS series, count() AS episodes
FROM data_quality_final
WHERE $__timeFilter(start)
    AND {PLACE}
GROUP BY time, series
ORDER BY time, series
""",
            about="Gaps, silence, stuck values, conflicts (two values for one time), values out of range.",
            bars=True,
            stacked=True,
            low=0,
            width=10,
        ),
        rows(
            "Episodes",
            f"""
SELECT
    start,
    sensor_id,
    kind,
    dateDiff('second', start, ifNull(end, $__toTime)) AS lasted,
    readings,
    value,
    end IS NULL AS lasts,
    location
FROM data_quality_final
WHERE {EPISODES}
ORDER BY start DESC, sensor_id
LIMIT 500
""",
            about="Newest first. readings: of the episode; for gaps and silence those that are missing.",
            units={"lasted": "s"},
            link=True,
            width=14,
            height=8,
        ),
    ]


def _refused() -> list[Panel]:
    return [
        lines(
            "Quality of readings",
            f"""
SELECT $__timeInterval(time) AS time, quality AS series, count() AS readings
FROM readings_final
WHERE {READINGS}
    AND quality != 'ok'
GROUP BY time, series
ORDER BY time, series
""",
            about="out_of_order and conflict count in their windows; late and after_idle do not.",
            bars=True,
            stacked=True,
            low=0,
            width=8,
        ),
        lines(
            "Refused by reason",
            """
SELECT $__timeInterval(kafka_time) AS time, reason AS series, count() AS refused
FROM dead_letters_final
WHERE $__timeFilter(kafka_time)
GROUP BY time, series
ORDER BY time, series
""",
            about="Dead letters by the time of their Kafka message.",
            bars=True,
            stacked=True,
            low=0,
            width=8,
        ),
        ranking(
            "Reasons",
            """
SELECT reason, count() AS refused
FROM dead_letters_final
WHERE $__timeFilter(kafka_time)
GROUP BY reason
ORDER BY refused DESC
""",
            about="`streamgauge deadletters` shows, exports and sends them once more.",
            name="reason",
            steps=((None, "orange"),),
            width=8,
            height=8,
        ),
        rows(
            "Refused payloads",
            """
SELECT kafka_time AS time, reason, detail, payload, topic, partition, offset
FROM dead_letters_final
WHERE $__timeFilter(kafka_time)
ORDER BY time DESC
LIMIT 200
""",
            about="Newest first, with what was wrong in words and the bytes themselves.",
            widths={"time": 165, "reason": 120, "detail": 320, "payload": 620},
            width=24,
        ),
    ]
