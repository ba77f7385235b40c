"""The page Live: how much comes in, what is wrong, and the sensors that matter now."""

from dataclasses import replace

from infra.console.dataset import Ask, Dataset
from infra.console.reader import MAX_ROWS
from infra.console.table import Table

SHOWN = 6
"""Sensors whose charts are drawn when none is chosen."""

RAW_SPAN_MS = 6 * 3_600_000
"""Charts of longer ranges are made of windows."""

_EXACT_SPAN_MS = 3_600_000
"""Who has the most anomalies is counted in readings for ranges so long, in windows for longer ones."""

_LATEST = 50
_BY_SENSOR = """
    SELECT argMin(window, size_ms) FROM windows WHERE sensor_id != '' AND location = '' AND hop_ms = size_ms"""


def pulse(ask: Ask) -> Table:
    """Of the last five minutes, each five seconds: readings and anomalies a second, sensors that spoke.

    Without FINAL: what a restarted flow stores again counts twice until it is merged.
    """
    return ask.table(
        f"""
        SELECT fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(time), 5000) * 5000) AS time,
            count() / 5 AS readings, countIf(is_anomaly) / 5 AS anomalies, uniq(sensor_id) AS sensors
        FROM readings
        WHERE readings.time >= fromUnixTimestamp64Milli({{now_ms:Int64}} - 300000)
            AND readings.time < fromUnixTimestamp64Milli({{now_ms:Int64}}) AND {ask.scope.chosen()}
        GROUP BY time ORDER BY time""",
        now_ms=ask.now_ms,
    )


def sensors(ask: Ask) -> Table:
    """The sensors to look at first: those chosen, else those with the most anomalies in the range.

    Who they are is found without merging versions, which takes long over all sensors, and for long ranges by windows;
    what is said of them is exact.
    """
    most = ask.number("most", SHOWN, least=1, most=50)
    named = ask.scope.sensors if len(ask.scope.sensors) <= most else ()
    first = "{sensors:Array(String)}" if named else f"({_worst(ask)})"
    return ask.table(
        f"""
        SELECT sensor_id, any(r.sensor_type) AS sensor_type, any(r.location) AS location, any(r.unit) AS unit,
            count() AS readings, countIf(is_anomaly) AS anomalies, argMax(r.value, time) AS value, max(time) AS last
        FROM readings AS r FINAL
        WHERE {ask.scope.during()} AND sensor_id IN {first} AND {ask.scope.chosen(alias="r")}
        GROUP BY sensor_id ORDER BY anomalies DESC, sensor_id""",
        most=most,
    )


def _worst(ask: Ask) -> str:
    """SQL: sensors with the most anomalies."""
    if ask.scope.span_ms <= _EXACT_SPAN_MS:
        return f"""
            SELECT sensor_id FROM readings WHERE {ask.scope.during()} AND {ask.scope.chosen()}
            GROUP BY sensor_id ORDER BY countIf(is_anomaly) DESC, sensor_id LIMIT {{most:UInt32}}"""
    return f"""
        SELECT sensor_id FROM windows WHERE {_windows(ask)}
        GROUP BY sensor_id ORDER BY sum(anomaly_count) DESC, sensor_id LIMIT {{most:UInt32}}"""


def _windows(ask: Ask) -> str:
    """Condition: the shortest windows by sensor, of those chosen. Where a sensor is, is told by its last readings."""
    conditions = [f"window = ({_BY_SENSOR} AND {ask.scope.during('start')})", ask.scope.during("start")]
    if ask.scope.sensors:
        conditions.append("sensor_id IN {sensors:Array(String)}")
    if ask.scope.locations or ask.scope.types:
        last = f"{ask.scope.during()} AND time >= fromUnixTimestamp64Milli({{to_ms:Int64}} - {_EXACT_SPAN_MS})"
        conditions.append(f"sensor_id IN (SELECT sensor_id FROM readings WHERE {last} AND {ask.scope.chosen()})")
    return " AND ".join(conditions)


def chart(ask: Ask) -> Table:
    """Values with forecast band and anomalies, of the sensors chosen, else of those with the most anomalies.

    Long ranges are made of windows. about.sensors: what is known of each.
    """
    shown = sensors(ask)
    ask = replace(ask, scope=replace(ask.scope, sensors=tuple(shown.columns["sensor_id"])))
    points = max(100, MAX_ROWS // max(1, len(shown)) - 2)
    long = ask.scope.span_ms > RAW_SPAN_MS
    found = (_of_windows if long else _of_readings)(ask, min(points, 450))
    return found.with_about(sensors=list(shown.rows()))


def _of_readings(ask: Ask, points: int) -> Table:
    bucket_ms = ask.scope.bucket_ms(points)
    found = ask.table(
        f"""
        SELECT sensor_id,
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(time), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            avg(r.value) AS value, min(r.value) AS low, max(r.value) AS high, avg(r.expected) AS expected,
            avg(r.expected_low) AS expected_low, avg(r.expected_high) AS expected_high,
            maxIf(r.score, NOT isNaN(r.score)) AS score, countIf(is_anomaly) AS anomalies,
            if(anomalies > 0, argMaxIf(r.value, abs(r.value - ifNull(r.expected, 0)), is_anomaly), NULL) AS strangest
        FROM readings AS r FINAL WHERE {ask.scope.during()} AND sensor_id IN {{sensors:Array(String)}}
        GROUP BY sensor_id, at ORDER BY sensor_id, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms, source="readings")


def _of_windows(ask: Ask, points: int) -> Table:
    bucket_ms = ask.scope.bucket_ms(points, least_ms=60_000)
    found = ask.table(
        f"""
        SELECT sensor_id,
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            sum(mean * count) / nullIf(sum(if(mean IS NULL, 0, count)), 0) AS value, min(w.min) AS low,
            max(w.max) AS high, NULL AS expected, NULL AS expected_low, NULL AS expected_high,
            NULL AS score, sum(anomaly_count) AS anomalies, if(anomalies > 0, value, NULL) AS strangest
        FROM windows_final AS w
        WHERE window = ({_BY_SENSOR} AND {ask.scope.during("start")})
            AND {ask.scope.during("start")} AND sensor_id IN {{sensors:Array(String)}}
        GROUP BY sensor_id, at ORDER BY sensor_id, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms, source="windows")


def anomalies(ask: Ask) -> Table:
    """The latest anomalies of the range, one for each sensor and minute. Versions are merged for those few only."""
    where = f"is_anomaly AND {ask.scope.during()} AND {ask.scope.chosen()}"
    if ask.scope.span_ms > _EXACT_SPAN_MS:
        # Windows know in which minutes there are any; what is newer than all of them is looked at, too.
        where += f"""
            AND (sensor_id IN (SELECT arrayJoin(found.1) FROM marked) AND time >= (SELECT found.2 FROM marked)
                OR time >= (SELECT max(end) FROM windows WHERE {ask.scope.during("start")}))"""
    return ask.table(
        f"""
        WITH marked AS
        (
            SELECT (groupUniqArray(sensor_id), min(start)) AS found FROM
            (
                SELECT sensor_id, start FROM windows WHERE anomaly_count > 0 AND {_windows(ask)}
                ORDER BY start DESC LIMIT 1 BY sensor_id, start LIMIT {2 * _LATEST}
            )
        )
        SELECT time, sensor_id, sensor_type, location, value, unit, expected, score, flagged_by
        FROM readings FINAL
        WHERE is_anomaly AND (sensor_id, time) IN (
            SELECT sensor_id, time FROM readings WHERE {where}
            ORDER BY time DESC LIMIT 1 BY sensor_id, toStartOfMinute(time) LIMIT {_LATEST})
        ORDER BY time DESC LIMIT 1 BY sensor_id, time"""
    )


DATASETS = (
    Dataset("pulse", "the last five minutes in steps of five seconds", pulse),
    Dataset("sensors", "sensors with the most anomalies", sensors),
    Dataset("chart", "values of the sensors chosen, with forecast band and anomalies", chart),
    Dataset("anomalies", "the latest anomalies", anomalies),
)
