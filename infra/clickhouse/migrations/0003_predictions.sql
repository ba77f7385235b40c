-- One row per reading and detector that scored or flagged it. A rule without a score of its own (stuck, out of range)
-- has raw_score NaN, as has a model that is still warming up.

CREATE OR REPLACE VIEW predictions AS
SELECT
    sensor_id,
    time,
    sensor_type,
    location,
    asset_id,
    unit,
    value,
    detector,
    if(mapContains(scores, detector), scores[detector], nan) AS raw_score,
    toBool(has(flagged_by, detector)) AS flagged,
    score,
    is_anomaly,
    rule_anomaly,
    model_anomaly,
    quality,
    label,
    topic,
    partition,
    offset,
    idx,
    generation
FROM readings FINAL
ARRAY JOIN arrayDistinct(arrayConcat(mapKeys(scores), flagged_by)) AS detector;
