-- Which alerts were there, and how long did they last?
-- By severity, rule and location. Durations are of alerts that have ended, in seconds of event time.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- started from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--
-- Example
--   severity | rule    | location      | alerts | open | acknowledged | silenced | median_s | longest_s | peak_score
--   critical | asset   |               |      2 |    2 |            0 |        0 |     NULL |      NULL |      5.177
--   critical | anomaly | factory_floor |      1 |    1 |            0 |        0 |     NULL |      NULL |         11
--   critical | anomaly | server_room   |      1 |    1 |            1 |        0 |     NULL |      NULL |          5
SELECT
    severity,
    rule,
    location,
    count() AS alerts,
    countIf(state = 'open') AS open,
    countIf(a.acknowledged) AS acknowledged,
    countIf(a.silenced) AS silenced,
    quantileExactOrNull(0.5)(dateDiff('millisecond', started_at, ended_at)) / 1000 AS median_s,
    maxOrNull(dateDiff('millisecond', started_at, ended_at)) / 1000 AS longest_s,
    max(a.peak_score) AS peak_score
FROM alerts_current AS a
WHERE started_at >= {since:DateTime64(3, 'UTC')} AND started_at < {until:DateTime64(3, 'UTC')}
GROUP BY severity, rule, location
ORDER BY indexOf(['critical', 'warning', 'info'], severity), alerts DESC, rule, location
