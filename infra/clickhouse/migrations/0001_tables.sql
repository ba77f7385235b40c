-- One table per entry of operators.records.TABLES: same columns, order, types and comments (a test compares them).
-- A row is named for good by its ORDER BY key, so a replay replaces it; the larger version stays. Read through FINAL.
-- Codecs: ZSTD(1) for values (Gorilla is 2x larger on 2-decimal data), DoubleDelta for what grows evenly.
-- stored_at: retention counts from when a row was stored, else replayed history would be deleted at once.

CREATE TABLE IF NOT EXISTS readings
(
    `sensor_id` LowCardinality(String) COMMENT 'which sensor' CODEC(ZSTD(1)),
    `time` DateTime64(3, 'UTC') COMMENT 'event time' CODEC(DoubleDelta, ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Kafka topic it came from' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `offset` Int64 COMMENT 'Kafka offset of its message' CODEC(DoubleDelta, ZSTD(1)),
    `idx` Int32 COMMENT 'position within the message, from 0' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `sensor_type` LowCardinality(String) COMMENT 'what is measured: temperature, vibration, ...' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'where' CODEC(ZSTD(1)),
    `asset_id` LowCardinality(String) COMMENT 'the machine or room it belongs to; '''' when not said' CODEC(ZSTD(1)),
    `unit` LowCardinality(String) COMMENT 'unit of value' CODEC(ZSTD(1)),
    `value` Float64 COMMENT 'measured value, finite' CODEC(ZSTD(1)),
    `seq` Nullable(Int64) COMMENT 'the sensor''s own running number' CODEC(DoubleDelta, ZSTD(1)),
    `attributes` String COMMENT 'further JSON sent along; '''' when none' CODEC(ZSTD(1)),
    `label` LowCardinality(String) COMMENT 'ground truth: ''normal'', a kind of fault, or '''' when not known' CODEC(ZSTD(1)),
    `quality` LowCardinality(String) COMMENT 'ok | out_of_order (on time, older than its sensor''s newest) | conflict (second value for one time) | late (older than its partition''s watermark) | after_idle (its windows closed while its partition slept)' CODEC(ZSTD(1)),
    `out_of_range` Bool COMMENT 'outside the limits of its sensor or type' CODEC(ZSTD(1)),
    `stuck` Bool COMMENT 'its sensor has repeated one value for too long' CODEC(ZSTD(1)),
    `score` Float32 COMMENT 'largest calibrated score of the detectors: 1 is the threshold; NaN while unknown' CODEC(ZSTD(1)),
    `is_anomaly` Bool COMMENT 'the verdict: a rule or a model flagged it' CODEC(ZSTD(1)),
    `rule_anomaly` Bool COMMENT 'a rule (z-score, range, stuck) flagged it' CODEC(ZSTD(1)),
    `model_anomaly` Bool COMMENT 'a model flagged it' CODEC(ZSTD(1)),
    `flagged_by` Array(LowCardinality(String)) COMMENT 'names of the rules and models that flagged it' CODEC(ZSTD(1)),
    `scores` Map(LowCardinality(String), Float32) COMMENT 'raw score of each detector; NaN while it warms up' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(time)
ORDER BY (`sensor_id`, `time`, `topic`, `partition`, `offset`, `idx`)
COMMENT 'Every reading that was accepted, once, with its verdict.';

CREATE TABLE IF NOT EXISTS windows
(
    `window` LowCardinality(String) COMMENT 'name of the window in the configuration' CODEC(ZSTD(1)),
    `start` DateTime64(3, 'UTC') COMMENT 'first instant of the window (inclusive)' CODEC(DoubleDelta, ZSTD(1)),
    `sensor_type` LowCardinality(String) COMMENT 'group; '''' when the window is not grouped by it (so for the next four)' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `asset_id` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `unit` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `sensor_id` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `end` DateTime64(3, 'UTC') COMMENT 'end of the window (exclusive)' CODEC(DoubleDelta, ZSTD(1)),
    `size_ms` Int64 COMMENT 'length of the window, milliseconds' CODEC(ZSTD(1)),
    `hop_ms` Int64 COMMENT 'distance of window starts, milliseconds; equal to size_ms for tumbling windows' CODEC(ZSTD(1)),
    `count` Int64 COMMENT 'readings on time in the window' CODEC(ZSTD(1)),
    `mean` Nullable(Float64) COMMENT 'arithmetic mean; NULL without readings (so for the next seven)' CODEC(ZSTD(1)),
    `min` Nullable(Float64) COMMENT 'smallest value' CODEC(ZSTD(1)),
    `max` Nullable(Float64) COMMENT 'largest value' CODEC(ZSTD(1)),
    `stddev` Nullable(Float64) COMMENT 'population standard deviation' CODEC(ZSTD(1)),
    `first` Nullable(Float64) COMMENT 'value at the earliest event time (ties: partition, offset, idx)' CODEC(ZSTD(1)),
    `last` Nullable(Float64) COMMENT 'value at the latest event time (ties: partition, offset, idx)' CODEC(ZSTD(1)),
    `p50` Nullable(Float64) COMMENT 'median, within 1 % of the value' CODEC(ZSTD(1)),
    `p95` Nullable(Float64) COMMENT '95th percentile, within 1 % of the value' CODEC(ZSTD(1)),
    `anomaly_count` Int64 COMMENT 'readings of the window flagged as anomalies' CODEC(ZSTD(1)),
    `expected_count` Nullable(Float64) COMMENT 'readings expected from the sensors'' intervals; NULL while unknown' CODEC(ZSTD(1)),
    `completeness` Nullable(Float64) COMMENT 'count / expected_count, at most 1' CODEC(ZSTD(1)),
    `complete` Bool COMMENT 'false when the window began before the flow saw it begin' CODEC(ZSTD(1)),
    `extra` Map(LowCardinality(String), Float64) COMMENT 'aggregates of one''s own, by name' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(start)
ORDER BY (`window`, `start`, `sensor_type`, `location`, `asset_id`, `unit`, `sensor_id`, `topic`)
COMMENT 'One row per closed window and group; a known group without readings has count 0.';

CREATE TABLE IF NOT EXISTS alerts
(
    `alert_id` String COMMENT 'fingerprint and start: the same for every replay' CODEC(ZSTD(1)),
    `started_at` DateTime64(3, 'UTC') COMMENT 'event time the episode began' CODEC(DoubleDelta, ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `state` LowCardinality(String) COMMENT 'open | resolved' CODEC(ZSTD(1)),
    `ended_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'event time the episode ended; NULL while open' CODEC(DoubleDelta, ZSTD(1)),
    `updated_at` DateTime64(3, 'UTC') COMMENT 'event time of the last change' CODEC(DoubleDelta, ZSTD(1)),
    `version` UInt64 COMMENT 'generation in the upper bits, then updated_at: the newest state wins' CODEC(ZSTD(1)),
    `severity` LowCardinality(String) COMMENT 'info | warning | critical' CODEC(ZSTD(1)),
    `rule` LowCardinality(String) COMMENT 'name of the alert rule' CODEC(ZSTD(1)),
    `sensor_id` LowCardinality(String) COMMENT ''''' for an alert on a group' CODEC(ZSTD(1)),
    `sensor_type` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `asset_id` LowCardinality(String) COMMENT 'group' CODEC(ZSTD(1)),
    `peak_score` Float32 COMMENT 'largest score of the episode' CODEC(ZSTD(1)),
    `reason` String COMMENT 'one sentence for people' CODEC(ZSTD(1)),
    `evidence` String COMMENT 'JSON: readings, features, scores and model version behind it' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(started_at)
ORDER BY (`alert_id`, `started_at`)
COMMENT 'Alert episodes, one row each, replaced as the episode goes on.';

CREATE TABLE IF NOT EXISTS alert_actions
(
    `action_id` UUID COMMENT 'made by whoever wrote it' CODEC(ZSTD(1)),
    `at` DateTime64(3, 'UTC') COMMENT 'when' CODEC(DoubleDelta, ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `action` LowCardinality(String) COMMENT 'ack | silence | unsilence | comment' CODEC(ZSTD(1)),
    `alert_id` String COMMENT 'which alert; '''' for a silence by labels' CODEC(ZSTD(1)),
    `matchers` String COMMENT 'JSON: labels a silence matches' CODEC(ZSTD(1)),
    `until` Nullable(DateTime64(3, 'UTC')) COMMENT 'end of a silence' CODEC(DoubleDelta, ZSTD(1)),
    `actor` String COMMENT 'who' CODEC(ZSTD(1)),
    `comment` String COMMENT 'why' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(at)
ORDER BY (`at`, `action_id`)
COMMENT 'What people did: acknowledgements, silences, comments. Append-only; never written by a flow.';

CREATE TABLE IF NOT EXISTS dead_letters
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `offset` Int64 COMMENT 'Kafka offset' CODEC(DoubleDelta, ZSTD(1)),
    `idx` Int32 COMMENT 'position within the message, from 0' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `kafka_time` DateTime64(3, 'UTC') COMMENT 'time stamp of the Kafka message' CODEC(DoubleDelta, ZSTD(1)),
    `reason` LowCardinality(String) COMMENT 'short name of the reason' CODEC(ZSTD(1)),
    `detail` String COMMENT 'what was wrong, in words' CODEC(ZSTD(1)),
    `payload` String COMMENT 'the refused bytes, cut at the configured size' CODEC(ZSTD(1)),
    `payload_bytes` Int64 COMMENT 'full size of the refused bytes' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY intDiv(offset, 100000000)
ORDER BY (`topic`, `partition`, `offset`, `idx`)
COMMENT 'Every payload, or part of one, that was refused: where it was, why, and what it held.';

CREATE TABLE IF NOT EXISTS data_quality
(
    `sensor_id` LowCardinality(String) COMMENT 'which sensor' CODEC(ZSTD(1)),
    `kind` LowCardinality(String) COMMENT 'gap | stuck | conflict | out_of_range | silent' CODEC(ZSTD(1)),
    `start` DateTime64(3, 'UTC') COMMENT 'event time the episode began' CODEC(DoubleDelta, ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Kafka topic' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `end` Nullable(DateTime64(3, 'UTC')) COMMENT 'event time it ended; NULL while it lasts' CODEC(DoubleDelta, ZSTD(1)),
    `version` UInt64 COMMENT 'generation in the upper bits, then the readings seen: the newest state wins' CODEC(ZSTD(1)),
    `sensor_type` LowCardinality(String) COMMENT 'what is measured' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'where' CODEC(ZSTD(1)),
    `readings` Int64 COMMENT 'readings of the episode; for a gap and for silence the readings missing, 0 if unknown' CODEC(ZSTD(1)),
    `value` Nullable(Float64) COMMENT 'the value that was stuck, in conflict or first out of range' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(start)
ORDER BY (`sensor_id`, `kind`, `start`, `topic`, `partition`)
COMMENT 'Episodes of a sensor''s data: gaps, stuck values, conflicts, values out of range.';

CREATE TABLE IF NOT EXISTS events
(
    `time` DateTime64(3, 'UTC') COMMENT 'event time, or wall-clock time for what has none' CODEC(DoubleDelta, ZSTD(1)),
    `kind` LowCardinality(String) COMMENT 'restart | idle | resumed | drift | model_change | detector_off | ...' CODEC(ZSTD(1)),
    `subject` String COMMENT 'what it happened to: topic/partition, sensor, model' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `detail` String COMMENT 'in words' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(time)
ORDER BY (`kind`, `time`, `subject`)
COMMENT 'What happened to the flow itself: restart, drift, model change, idle partitions.';

CREATE TABLE IF NOT EXISTS sensors
(
    `sensor_id` String COMMENT 'which sensor' CODEC(ZSTD(1)),
    `updated_at` DateTime64(3, 'UTC') COMMENT 'when this row was written' CODEC(DoubleDelta, ZSTD(1)),
    `sensor_type` LowCardinality(String) COMMENT 'completes readings that do not say it (so for the next three)' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'where' CODEC(ZSTD(1)),
    `asset_id` LowCardinality(String) COMMENT 'machine or room' CODEC(ZSTD(1)),
    `unit` LowCardinality(String) COMMENT 'unit of value' CODEC(ZSTD(1)),
    `min_value` Nullable(Float64) COMMENT 'smallest plausible value' CODEC(ZSTD(1)),
    `max_value` Nullable(Float64) COMMENT 'largest plausible value' CODEC(ZSTD(1)),
    `interval_ms` Nullable(Int64) COMMENT 'expected distance of readings, milliseconds' CODEC(ZSTD(1)),
    `time_zone` LowCardinality(String) COMMENT 'IANA name, for hour of day and day of week; '''' is UTC' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY `sensor_id`
COMMENT 'The registry: what is known of each sensor beyond what it sends.';

CREATE TABLE IF NOT EXISTS ledger
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `bucket` Int64 COMMENT 'first offset of the stretch' CODEC(DoubleDelta, ZSTD(1)),
    `stage` LowCardinality(String) COMMENT 'source (messages, readings, rejected) or shard K (the rest)' CODEC(ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `version` UInt64 COMMENT 'generation in the upper bits, then the readings counted: the fullest count wins' CODEC(ZSTD(1)),
    `messages` Int64 COMMENT 'Kafka messages read' CODEC(ZSTD(1)),
    `readings` Int64 COMMENT 'readings found in them, good and bad' CODEC(ZSTD(1)),
    `rejected` Int64 COMMENT 'readings refused; each is in dead_letters' CODEC(ZSTD(1)),
    `on_time` Int64 COMMENT 'readings that counted in their windows' CODEC(ZSTD(1)),
    `late` Int64 COMMENT 'readings older than the watermark' CODEC(ZSTD(1)),
    `after_idle` Int64 COMMENT 'those of `late` whose windows closed while their partition was idle' CODEC(ZSTD(1)),
    `duplicates` Int64 COMMENT 'the same sensor, time and value again: dropped' CODEC(ZSTD(1)),
    `conflicts` Int64 COMMENT 'those of `on_time` with a second value for one sensor and time' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`topic`, `partition`, `bucket`, `stage`)
COMMENT 'The count of everything, per stretch of a partition''s offsets: readings = on time + late + duplicates + rejected.';
