-- Why were payloads refused?
-- Dead letters by reason, most frequent first, with one example each. Times are those of the Kafka messages.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--
-- Example
--   reason        | refused | partitions | first               | last                | detail                        | payload
--   missing_field |      60 |          2 | 2026-01-01 00:00:00 | 2026-01-01 00:28:27 | value: is null                | {"sensor_id":"temperature ...
--   wrong_type    |      45 |          2 | 2026-01-01 00:00:30 | 2026-01-01 00:29:46 | value: expected `float`,  ... | {"sensor_id":"humidity-se ...
--   bad_json      |      43 |          2 | 2026-01-01 00:00:49 | 2026-01-01 00:29:50 | input data was truncated      | {"sensor_id":"temperature ...
SELECT
    reason,
    count() AS refused,
    uniqExact(topic, partition) AS partitions,
    min(kafka_time) AS first,
    max(kafka_time) AS last,
    any(d.detail) AS detail,
    any(d.payload) AS payload
FROM dead_letters_final AS d
WHERE kafka_time >= {since:DateTime64(3, 'UTC')} AND kafka_time < {until:DateTime64(3, 'UTC')}
GROUP BY reason
ORDER BY refused DESC, reason
