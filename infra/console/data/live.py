"""The page Live: how much comes in, what is wrong, and the sensors that matter now."""

from infra.console.dataset import Ask, Dataset
from infra.console.table import Table

SHOWN = 6
"""Sensors whose charts are drawn when none is chosen."""

RAW_SPAN_MS = 6 * 3_600_000
"""Charts of longer ranges are made of windows."""

_LATEST = 50


def pulse(ask: Ask) -> Table:
    """Of the last five minutes, each five seconds: readings and anomalies a second, sensors that spoke."""
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
    """The sensors to look at first: those chosen, else those with the most anomalies in the range."""
    return ask.table(
        f"""
        SELECT sensor_id, any(sensor_type) AS sensor_type, any(location) AS location, any(unit) AS unit,
            count() AS readings, countIf(is_anomaly) AS anomalies, maxIf(time, is_anomaly) AS last_anomaly,
            argMax(value, time) AS value, max(time) AS last
        FROM readings WHERE {ask.scope.during()} AND {ask.scope.chosen()}
        GROUP BY sensor_id ORDER BY anomalies DESC, last_anomaly DESC, sensor_id LIMIT {{most:UInt32}}""",
        most=ask.number("most", SHOWN, least=1, most=50),
    )


def chart(ask: Ask) -> Table:
    """Values of the sensors chosen, with the forecast band and the anomalies; long ranges are made of windows."""
    points = max(60, 1_800 // max(1, len(ask.scope.sensors)))
    if ask.scope.span_ms > RAW_SPAN_MS:
        return _of_windows(ask, ask.scope.bucket_ms(points, least_ms=60_000))
    return _of_readings(ask, ask.scope.bucket_ms(points))


def _of_readings(ask: Ask, bucket_ms: int) -> Table:
    found = ask.table(
        f"""
        SELECT sensor_id,
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(time), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            avg(value) AS value, min(value) AS low, max(value) AS high, avg(expected) AS expected,
            avg(expected_low) AS expected_low, avg(expected_high) AS expected_high,
            countIf(is_anomaly) AS anomalies, argMaxIf(value, abs(value - ifNull(expected, 0)), is_anomaly) AS strangest
        FROM readings FINAL WHERE {ask.scope.during()} AND sensor_id IN {{sensors:Array(String)}}
        GROUP BY sensor_id, at ORDER BY sensor_id, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms, source="readings")


def _of_windows(ask: Ask, bucket_ms: int) -> Table:
    found = ask.table(
        f"""
        SELECT sensor_id,
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            sum(mean * count) / sum(count) AS value, min(min) AS low, max(max) AS high, NULL AS expected,
            NULL AS expected_low, NULL AS expected_high, sum(anomaly_count) AS anomalies,
            if(anomalies > 0, value, NULL) AS strangest
        FROM windows_final
        WHERE window = (
                SELECT argMin(window, size_ms) FROM windows
                WHERE sensor_id != '' AND location = '' AND hop_ms = size_ms AND {ask.scope.during("start")})
            AND {ask.scope.during("start")} AND sensor_id IN {{sensors:Array(String)}}
        GROUP BY sensor_id, at ORDER BY sensor_id, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms, source="windows")


def anomalies(ask: Ask) -> Table:
    """The latest anomalies of the range, one for each sensor and minute."""
    return ask.table(
        f"""
        SELECT time, sensor_id, sensor_type, location, value, unit, expected, score, flagged_by
        FROM readings FINAL WHERE is_anomaly AND {ask.scope.during()} AND {ask.scope.chosen()}
        ORDER BY time DESC LIMIT 1 BY sensor_id, toStartOfMinute(time) LIMIT {_LATEST}"""
    )


DATASETS = (
    Dataset("pulse", "the last five minutes in steps of five seconds", pulse),
    Dataset("sensors", "sensors with the most anomalies", sensors),
    Dataset("chart", "values of the sensors chosen, with forecast band and anomalies", chart),
    Dataset("anomalies", "the latest anomalies", anomalies),
)
