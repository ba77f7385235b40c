-- Which sensors need a look first?
-- By the share of their readings that were anomalies, then by episodes of bad data: gaps, stuck or conflicting values,
-- values out of range. Reads windows by sensor, so that weeks are as cheap as hours.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   most: UInt32 = 20  -- sensors
--
-- Example
--   sensor_id                    | readings | anomalies | anomaly_share | bad_minutes | episodes | completeness | last_window
--   temperature-factory_floor-01 |     1791 |       904 |        0.5047 |          16 |        4 |        0.995 | 2026-01-01 00:29:00
--   power-server_room-01         |     1796 |       551 |        0.3068 |          10 |        4 |       0.9978 | 2026-01-01 00:29:00
--   vibration-server_room-01     |     1794 |       163 |       0.09086 |           8 |        1 |       0.9967 | 2026-01-01 00:29:00
WITH
    matching AS
    (
        SELECT *
        FROM windows_final
        WHERE start >= {since:DateTime64(3, 'UTC')} AND start < {until:DateTime64(3, 'UTC')}
            AND hop_ms = size_ms AND sensor_id != ''
    ),
    (SELECT min(size_ms) FROM matching) AS shortest,
    bad AS
    (
        SELECT sensor_id, count() AS episodes
        FROM data_quality_final
        WHERE start >= {since:DateTime64(3, 'UTC')} AND start < {until:DateTime64(3, 'UTC')}
        GROUP BY sensor_id
    )
SELECT
    sensor_id,
    sum(count) AS readings,
    sum(anomaly_count) AS anomalies,
    if(readings > 0, anomalies / readings, 0) AS anomaly_share,
    sumIf(size_ms, anomaly_count > 0) / 60000 AS bad_minutes,
    any(bad.episodes) AS episodes,
    least(1, sum(count) / sum(ifNull(expected_count, toFloat64(count)))) AS completeness,
    max(start) AS last_window
FROM matching
LEFT JOIN bad USING (sensor_id)
WHERE size_ms = shortest
GROUP BY sensor_id
ORDER BY anomaly_share DESC, episodes DESC, sensor_id
LIMIT {most:UInt32}
