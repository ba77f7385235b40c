-- Verdicts on the sensors of an asset together.

CREATE TABLE IF NOT EXISTS asset_verdicts
(
    `asset_id` LowCardinality(String) COMMENT 'the machine or room; '''' when assets are locations' CODEC(ZSTD(1)),
    `location` LowCardinality(String) COMMENT 'where; '''' when assets are told by asset_id' CODEC(ZSTD(1)),
    `time` DateTime64(3, 'UTC') COMMENT 'first instant of the tick (inclusive)' CODEC(DoubleDelta, ZSTD(1)),
    `generation` UInt32 COMMENT '0 for the live flow; a rebuild of a past range writes a higher one, which wins' CODEC(ZSTD(1)),
    `tick_ms` Int64 COMMENT 'length of the tick, milliseconds' CODEC(ZSTD(1)),
    `sensors` Int64 COMMENT 'sensors it was judged by: those known that spoke lately' CODEC(ZSTD(1)),
    `score` Float32 COMMENT 'surprise: -log10 of the chance of so strange a tick in the asset''s own past, 0 or more' CODEC(ZSTD(1)),
    `is_anomaly` Bool COMMENT 'in alarm: from a score at the threshold until it has been low for a while' CODEC(ZSTD(1)),
    `shares` Map(LowCardinality(String), Float32) COMMENT 'sensors that deviate most, with their share of the whole deviation (squared, in units of what is usual for each sensor); empty for scores below 2 outside of alarms' CODEC(ZSTD(1)),
    `stored_at` DateTime DEFAULT now() COMMENT 'when this row was stored; retention counts from here' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(time)
ORDER BY (`asset_id`, `location`, `time`)
COMMENT 'The verdict on an asset''s sensors together, one row per tick of event time in which at least two are known.';

CREATE OR REPLACE VIEW asset_verdicts_final AS
SELECT * EXCEPT (stored_at)
FROM asset_verdicts FINAL;
