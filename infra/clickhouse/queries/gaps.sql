-- Where is data missing, and for how long?
-- Gaps between two readings of a sensor, and silence that still lasts (end is NULL), longest first. missing is what the
-- sensor would have sent at its usual interval; 0 when that is not known.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   location: String = ''  -- only there; '' for everywhere
--   longer_than_s: Float64 = 0  -- only gaps longer than so many seconds
--
-- Example
--   sensor_id                  | sensor_type | location    | kind   | start               | end                 | seconds | missing
--   co2-server_room-01         | co2         | server_room | gap    | 2026-01-01 00:03:39 | 2026-01-01 00:05:41 |     122 |     121
--   temperature-server_room-01 | temperature | server_room | gap    | 2026-01-01 00:14:27 | 2026-01-01 00:16:05 |      98 |      97
--   pressure-server_room-01    | pressure    | server_room | silent | 2026-01-01 00:28:30 | NULL                |      90 |       0
SELECT
    sensor_id,
    sensor_type,
    location,
    kind,
    start,
    end,
    dateDiff('millisecond', start, ifNull(end, {until:DateTime64(3, 'UTC')})) / 1000 AS seconds,
    readings AS missing
FROM data_quality_final
WHERE kind IN ('gap', 'silent')
    AND start < {until:DateTime64(3, 'UTC')} AND ifNull(end, {until:DateTime64(3, 'UTC')}) >= {since:DateTime64(3, 'UTC')}
    AND ({location:String} = '' OR location = {location:String})
    AND seconds > {longer_than_s:Float64}
ORDER BY seconds DESC, sensor_id, start
