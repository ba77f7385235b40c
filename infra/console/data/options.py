"""What can be chosen: locations, types, sensors, windows."""

from infra.console.dataset import Ask, Dataset
from infra.console.table import Table

_MOST = 500


def sensors(ask: Ask) -> Table:
    """Sensors that spoke in the range, and in the last hour there was anything; `search` within their name."""
    sql = f"""
        SELECT sensor_id, any(r.sensor_type) AS sensor_type, any(r.location) AS location, any(r.unit) AS unit,
            max(r.time) AS last
        FROM
        (
            SELECT sensor_id, sensor_type, location, unit, time FROM readings
            WHERE time >= fromUnixTimestamp64Milli({{from_ms:Int64}}) AND {ask.scope.chosen(sensor=None)}
                AND time >= (SELECT max(time) FROM readings) - INTERVAL 1 HOUR
        ) AS r
        WHERE (empty({{search:String}}) OR positionCaseInsensitiveUTF8(sensor_id, {{search:String}}) > 0)
        GROUP BY sensor_id ORDER BY sensor_id LIMIT {_MOST}"""
    return ask.table(sql, search=ask.text("search"))


def places(ask: Ask) -> Table:
    """Locations and types there are, as windows by both tell; without any as readings do."""
    found = ask.table(
        f"""
        SELECT location, sensor_type FROM windows
        WHERE {ask.scope.during("start")} AND location != '' AND sensor_type != ''
        GROUP BY location, sensor_type ORDER BY location, sensor_type"""
    )
    if len(found):
        return found
    return ask.table(
        f"""
        SELECT location, sensor_type FROM readings WHERE {ask.scope.during()}
        GROUP BY location, sensor_type ORDER BY location, sensor_type"""
    )


def windows(ask: Ask) -> Table:
    """Windows that are stored: name, size, hop, and what they are grouped by."""
    return ask.table(
        """
        SELECT window, any(size_ms) AS size_ms, any(hop_ms) AS hop_ms, arrayFilter(
            (name, there) -> there,
            ['location', 'sensor_type', 'asset_id', 'unit', 'sensor_id', 'topic'],
            [max(location != ''), max(sensor_type != ''), max(asset_id != ''), max(unit != ''), max(sensor_id != ''),
                max(topic != '')]) AS by
        FROM windows WHERE start >= fromUnixTimestamp64Milli({from_ms:Int64})
        GROUP BY window ORDER BY size_ms, window"""
    )


DATASETS = (
    Dataset("sensors", "sensors that spoke of late, at most 500", sensors),
    Dataset("places", "locations and types there are", places),
    Dataset("windows", "windows that are stored", windows),
)
