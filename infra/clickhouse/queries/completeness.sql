-- How much of what should have come has come?
-- readings and expected readings of all windows by location and type (or by sensor), worst first. empty_windows had no
-- reading at all. Reads windows, so that weeks are as cheap as hours. Readings that came late are in no window.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   by: String = group  -- group: windows by location and type; sensor_id: windows by sensor
--
-- Example
--   location    | sensor_type | sensor_id | windows | empty_windows | readings | expected | completeness
--   server_room | co2         |           |      30 |             1 |     1677 |     1800 |       0.9317
--   server_room | temperature |           |      30 |             1 |     1698 |     1800 |       0.9433
--   server_room | humidity    |           |      30 |             0 |     1750 |     1800 |       0.9722
WITH
    matching AS
    (
        SELECT *
        FROM windows_final
        WHERE start >= {since:DateTime64(3, 'UTC')} AND start < {until:DateTime64(3, 'UTC')}
            AND hop_ms = size_ms AND complete AND (sensor_id != '') = ({by:String} = 'sensor_id')
    ),
    (SELECT min(size_ms) FROM matching) AS shortest
SELECT
    location,
    sensor_type,
    sensor_id,
    count() AS windows,
    countIf(count = 0) AS empty_windows,
    sum(count) AS readings,
    sum(ifNull(expected_count, toFloat64(count))) AS expected,
    if(expected > 0, least(1, readings / expected), NULL) AS completeness
FROM matching
WHERE size_ms = shortest
GROUP BY location, sensor_type, sensor_id
ORDER BY completeness, location, sensor_type, sensor_id
