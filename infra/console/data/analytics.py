"""The page Analytics: where, when and with what else things go wrong. Reads windows, so that weeks are cheap."""

from http import HTTPStatus
from zoneinfo import available_timezones

from infra.console.dataset import Ask, Dataset
from infra.console.table import Table
from infra.http.answers import Problem

SERIES = 24
"""Of a correlation heatmap when nothing is chosen: pairs grow with the square."""

_MOST_SERIES = 50
_BUCKETS = 240
_AT_LEAST = 10
"""Windows that two must have in common before a correlation says anything."""

_BARS = 96
_TOP = 20


def shortest(ask: Ask, kind: str) -> str:
    """A scalar subquery: the name of the shortest tumbling windows in the range that are grouped so."""
    return (
        f"(SELECT argMin(window, size_ms) FROM windows WHERE hop_ms = size_ms AND {kind} "
        f"AND {ask.scope.during('windows.start')})"
    )


BY_PLACE = "sensor_id = '' AND location != '' AND sensor_type != ''"
BY_SENSOR = "sensor_id != ''"


def _by_place(ask: Ask) -> str:
    """Windows by location and type that are asked about."""
    return f"window = {shortest(ask, BY_PLACE)} AND {ask.scope.during('start')} AND {ask.scope.chosen(sensor=None)}"


def _by_sensor(ask: Ask) -> str:
    """Windows by sensor that are asked about; these say no location, which the readings do."""
    where = f"window = {shortest(ask, BY_SENSOR)} AND {ask.scope.during('start')}"
    if ask.scope.sensors:
        where += " AND sensor_id IN {sensors:Array(String)}"
    if ask.scope.locations or ask.scope.types:
        readings = f"{ask.scope.during('readings.time')} AND {ask.scope.chosen()}"
        where += f" AND sensor_id IN (SELECT DISTINCT sensor_id FROM readings WHERE {readings})"
    return where


def places(ask: Ask) -> Table:
    """By location and type: readings, anomalies, completeness; mean, spread and range of the values."""
    return ask.table(
        f"""
        SELECT location, sensor_type, sum(count) AS readings, sum(anomaly_count) AS anomalies,
            anomalies / nullIf(readings, 0) AS anomaly_share,
            least(1, readings / nullIf(sum(ifNull(expected_count, toFloat64(count))), 0)) AS completeness,
            sum(w.mean * count) / nullIf(readings, 0) AS mean,
            sqrt(greatest(0, sum((w.stddev * w.stddev + w.mean * w.mean) * count) / nullIf(readings, 0) - mean * mean))
                AS stddev,
            min(w.min) AS lowest, max(w.max) AS highest
        FROM windows_final AS w WHERE {_by_place(ask)}
        GROUP BY location, sensor_type ORDER BY location, sensor_type"""
    )


def locations(ask: Ask) -> Table:
    """By location: readings, anomalies, completeness, episodes of bad data, alerts begun and still open."""
    chosen = ask.scope.chosen(sensor=None)
    return ask.table(
        f"""
        WITH
            bad AS
            (
                SELECT location, count() AS episodes, uniqExact(sensor_id) AS bad_sensors FROM data_quality_final
                WHERE {ask.scope.during("start")} AND {chosen} GROUP BY location
            ),
            told AS
            (
                SELECT location, count() AS alerts, countIf(state = 'open') AS open FROM alerts_final
                WHERE {ask.scope.during("started_at")} AND {chosen} GROUP BY location
            )
        SELECT location, uniqExact(sensor_type) AS types, sum(count) AS readings, sum(anomaly_count) AS anomalies,
            anomalies / nullIf(readings, 0) AS anomaly_share,
            least(1, readings / nullIf(sum(ifNull(expected_count, toFloat64(count))), 0)) AS completeness,
            any(bad.episodes) AS episodes, any(bad.bad_sensors) AS bad_sensors,
            any(told.alerts) AS alerts, any(told.open) AS open_alerts
        FROM (SELECT * FROM windows_final WHERE {_by_place(ask)}) AS w
        LEFT JOIN bad USING (location)
        LEFT JOIN told USING (location)
        GROUP BY location ORDER BY anomaly_share DESC, location"""
    )


def anomalies(ask: Ask) -> Table:
    """Flagged readings over time, by type or by location."""
    by = ask.choice("by", ("sensor_type", "location"), "sensor_type")
    bucket_ms = ask.scope.bucket_ms(_BARS, least_ms=60_000)
    found = ask.table(
        f"""
        SELECT fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}})
                AS time,
            {by} AS series, sum(anomaly_count) AS anomalies, sum(count) AS readings
        FROM windows_final WHERE {_by_place(ask)}
        GROUP BY time, series ORDER BY time, series""",
        max_rows=20_000,
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms)


def hours(ask: Ask) -> Table:
    """By weekday (1 is Monday) and hour of the day, in a time zone: readings, share of anomalies, completeness."""
    zone = ask.text("zone", "UTC")
    if zone not in available_timezones():
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"zone: no time zone {zone!r}; an IANA name, Europe/Berlin")
    return ask.table(
        f"""
        SELECT toDayOfWeek(start, 0, {{zone:String}}) AS weekday, toHour(toTimeZone(start, {{zone:String}})) AS hour,
            sum(count) AS readings, sum(anomaly_count) AS anomalies,
            anomalies / nullIf(readings, 0) AS anomaly_share,
            least(1, readings / nullIf(sum(ifNull(expected_count, toFloat64(count))), 0)) AS completeness
        FROM windows_final WHERE {_by_place(ask)}
        GROUP BY weekday, hour ORDER BY weekday, hour""",
        zone=zone,
    ).with_about(zone=zone)


def offenders(ask: Ask) -> Table:
    """Sensors by the share of their readings that were flagged, then by episodes of bad data."""
    return ask.table(
        f"""
        WITH
            top AS
            (
                SELECT sensor_id, sum(count) AS readings, sum(anomaly_count) AS anomalies,
                    if(readings > 0, anomalies / readings, 0) AS anomaly_share,
                    least(1, sum(count) / nullIf(sum(ifNull(expected_count, toFloat64(count))), 0)) AS completeness
                FROM windows_final WHERE {_by_sensor(ask)} GROUP BY sensor_id
            ),
            bad AS
            (
                SELECT sensor_id, count() AS episodes FROM data_quality_final
                WHERE {ask.scope.during("start")} GROUP BY sensor_id
            ),
            ranked AS
            (
                SELECT sensor_id, readings, anomalies, anomaly_share, completeness, bad.episodes AS episodes
                FROM top LEFT JOIN bad USING (sensor_id)
                WHERE anomalies > 0 OR episodes > 0
                ORDER BY anomaly_share DESC, episodes DESC, sensor_id LIMIT {{most:UInt32}}
            )
        SELECT sensor_id, known.location AS location, known.sensor_type AS sensor_type, readings, anomalies,
            anomaly_share, episodes, completeness
        FROM ranked
        LEFT JOIN
        (
            SELECT sensor_id, any(location) AS location, any(sensor_type) AS sensor_type FROM readings
            WHERE sensor_id IN (SELECT sensor_id FROM ranked) AND {ask.scope.during("readings.time")}
            GROUP BY sensor_id
        ) AS known USING (sensor_id)
        ORDER BY anomaly_share DESC, episodes DESC, sensor_id""",
        most=ask.number("most", _TOP, least=1, most=200),
    )


def correlation(ask: Ask) -> Table:
    """Pearson's correlation of the means of equal stretches of time, pair by pair.

    by: sensor_id, sensor_type or location. Of sensors those chosen, else the ones with the most anomalies of the range
    (then the most readings); of types and locations those with the most readings.
    """
    by = ask.choice("by", ("sensor_id", "sensor_type", "location"), "sensor_type")
    most = ask.number("most", SERIES, least=2, most=_MOST_SERIES)
    bucket_ms = ask.scope.bucket_ms(_BUCKETS, least_ms=60_000)
    rows, name = (_by_sensor(ask), "sensor_id") if by == "sensor_id" else (_by_place(ask), by)
    order = "sum(anomaly_count) DESC, sum(count) DESC" if by == "sensor_id" else "sum(count) DESC"
    names = ask.table(
        f"""
        SELECT toString({name}) AS name, count() OVER () AS all FROM windows_final WHERE {rows} AND count > 0
        GROUP BY {name} ORDER BY {order}, name LIMIT {{most:UInt32}}""",
        most=most,
    )
    chosen = names.columns.get("name", [])
    found = ask.table(
        f"""
        WITH series AS
        (
            SELECT toString({name}) AS name, intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) AS at,
                sum(mean * count) / sum(count) AS value
            FROM windows_final
            WHERE {rows} AND count > 0 AND {name} IN {{names:Array(String)}}
            GROUP BY name, at
        )
        SELECT a.name AS one, b.name AS other, corrStable(a.value, b.value) AS correlation, count() AS windows
        FROM series AS a INNER JOIN series AS b ON a.at = b.at
        WHERE a.name < b.name
        GROUP BY one, other HAVING windows >= {_AT_LEAST} ORDER BY one, other""",
        bucket=bucket_ms,
        names=chosen,
    )
    there = names.columns.get("all", [])
    return found.with_about(by=by, names=chosen, of=there[0] if there else 0, bucket_ms=bucket_ms, at_least=_AT_LEAST)


DATASETS = (
    Dataset("places", "statistics by location and type", places),
    Dataset("locations", "statistics by location", locations),
    Dataset("anomalies", "flagged readings over time, by type or location", anomalies),
    Dataset("hours", "by weekday and hour", hours),
    Dataset("offenders", "sensors that need a look first", offenders),
    Dataset("correlation", "which move together", correlation),
)
