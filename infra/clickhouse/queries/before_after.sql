-- What did a deployment change?
-- The same length of time before and after an instant, by type: readings, share of anomalies, mean, spread,
-- completeness; shift is the change of the mean in standard deviations of before. Reads windows by location and type.
--
-- Parameters
--   at: DateTime64(3, 'UTC')  -- when it was deployed: a time, or how long ago
--   minutes: UInt32 = 60  -- looked at on either side
--   location: String = ''  -- only there; '' for everywhere
--
-- Example
--   sensor_type | readings_before | readings_after | anomaly_share_before | anomaly_share_after | mean_before | mean_after | shift   | completeness_before | completeness_after
--   power       |            2394 |           1197 |              0.03801 |              0.3985 |       78.38 |      77.84 |  -1.164 |              0.9975 |             0.9975
--   temperature |            2293 |           1196 |               0.4239 |           0.0008361 |       23.06 |      22.83 | -0.2182 |              0.9554 |             0.9967
--   co2         |            2275 |           1193 |             0.002198 |           0.0008382 |       462.7 |      456.4 | -0.1932 |              0.9479 |             0.9942
WITH
    matching AS
    (
        SELECT *, start < {at:DateTime64(3, 'UTC')} AS is_before
        FROM windows_final
        WHERE start >= {at:DateTime64(3, 'UTC')} - toIntervalMinute({minutes:UInt32})
            AND start < {at:DateTime64(3, 'UTC')} + toIntervalMinute({minutes:UInt32})
            AND hop_ms = size_ms AND sensor_type != '' AND sensor_id = ''
            AND ({location:String} = '' OR location = {location:String})
    ),
    (SELECT min(size_ms) FROM matching) AS shortest
SELECT
    sensor_type,
    sumIf(count, is_before) AS readings_before,
    sumIf(count, NOT is_before) AS readings_after,
    sumIf(anomaly_count, is_before) / nullIf(readings_before, 0) AS anomaly_share_before,
    sumIf(anomaly_count, NOT is_before) / nullIf(readings_after, 0) AS anomaly_share_after,
    sumIf(mean * count, is_before) / nullIf(readings_before, 0) AS mean_before,
    sumIf(mean * count, NOT is_before) / nullIf(readings_after, 0) AS mean_after,
    (mean_after - mean_before)
        / nullIf(sqrt(sumIf(stddev * stddev * count, is_before) / nullIf(readings_before, 0)), 0) AS shift,
    least(1, readings_before / nullIf(sumIf(expected_count, is_before), 0)) AS completeness_before,
    least(1, readings_after / nullIf(sumIf(expected_count, NOT is_before), 0)) AS completeness_after
FROM matching
WHERE size_ms = shortest
GROUP BY sensor_type
ORDER BY abs(shift) DESC NULLS LAST, sensor_type
