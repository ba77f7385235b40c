-- What is usual at this hour of this weekday?
-- Mean, band and share of anomalies by hour of day and day of week, in the time zone of the plant. Four weeks make a
-- profile. Reads windows by location and type.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 28d  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   time_zone: String = UTC  -- IANA name, such as Europe/Berlin
--   location: String = ''  -- only there; '' for everywhere
--   sensor_type: String = ''  -- only of this type; '' for all
--
-- Example
--   sensor_type | weekday | hour | readings | mean  | low   | high  | anomaly_share
--   air_quality |       4 |    0 |     3596 | 21.14 | 7.464 |  34.3 |       0.00139
--   co2         |       4 |    0 |     3468 | 460.6 | 407.7 | 506.9 |       0.00173
--   humidity    |       4 |    0 |     3541 | 46.53 | 39.39 | 55.16 |       0.02118
WITH
    matching AS
    (
        SELECT *
        FROM windows_final
        WHERE start >= {since:DateTime64(3, 'UTC')} AND start < {until:DateTime64(3, 'UTC')}
            AND hop_ms = size_ms AND sensor_type != '' AND sensor_id = '' AND count > 0
            AND ({location:String} = '' OR location = {location:String})
            AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
    ),
    (SELECT min(size_ms) FROM matching) AS shortest
SELECT
    sensor_type,
    toDayOfWeek(start, 0, {time_zone:String}) AS weekday,
    toHour(toTimeZone(start, {time_zone:String})) AS hour,
    sum(count) AS readings,
    sum(w.mean * count) / readings AS mean,
    quantileExactWeighted(0.05)(w.p50, toUInt64(count)) AS low,
    quantileExactWeighted(0.95)(w.p50, toUInt64(count)) AS high,
    sum(anomaly_count) / readings AS anomaly_share
FROM matching AS w
WHERE size_ms = shortest
GROUP BY sensor_type, weekday, hour
ORDER BY sensor_type, weekday, hour
