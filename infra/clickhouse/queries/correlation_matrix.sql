-- Which sensors (types, locations) move together?
-- Pearson's correlation of the means of equal windows, one row per pair, strongest first. Reads windows, so that weeks
-- are as cheap as hours. Pairs seen together in fewer than `at_least` windows are left out; so are series beyond the
-- `most` with the most readings, for pairs grow with the square.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   by: String = sensor_id  -- sensor_id, sensor_type or location: a window must be configured by it
--   at_least: UInt32 = 20  -- windows that both must have
--   most: UInt32 = 40  -- series
--
-- Example
--   one                       | other                      | correlation | windows
--   power-server_room-01      | vibration-server_room-01   |       0.739 |      30
--   humidity-factory_floor-01 | temperature-server_room-01 |      0.6744 |      29
--   co2-server_room-01        | humidity-factory_floor-01  |     -0.4847 |      29
WITH
    series AS
    (
        SELECT
            multiIf({by:String} = 'sensor_id', sensor_id, {by:String} = 'sensor_type', sensor_type, location) AS name,
            size_ms,
            start,
            sum(mean * count) / sum(count) AS value,
            sum(count) AS readings
        FROM windows_final
        WHERE start >= {since:DateTime64(3, 'UTC')} AND start < {until:DateTime64(3, 'UTC')}
            AND hop_ms = size_ms AND count > 0 AND name != ''
        GROUP BY name, size_ms, start
    ),
    -- The shortest tumbling windows by that column.
    (SELECT min(size_ms) FROM series) AS shortest,
    largest AS
    (
        SELECT name
        FROM series
        WHERE size_ms = shortest
        GROUP BY name
        ORDER BY sum(readings) DESC, name
        LIMIT {most:UInt32}
    ),
    chosen AS
    (
        SELECT name, start, value
        FROM series
        WHERE size_ms = shortest AND name IN largest
    )
SELECT
    a.name AS one,
    b.name AS other,
    corrStable(a.value, b.value) AS correlation,
    count() AS windows
FROM chosen AS a
INNER JOIN chosen AS b ON a.start = b.start
WHERE a.name < b.name
GROUP BY one, other
HAVING windows >= {at_least:UInt32} AND isFinite(correlation)
ORDER BY abs(correlation) DESC, one, other
