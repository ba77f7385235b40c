-- Verdicts: calibrated scores, model versions, forecasts; what rules and models agree on and how right they are.

ALTER TABLE readings
    ADD COLUMN IF NOT EXISTS `surprises` Map(LowCardinality(String), Float32) COMMENT 'calibrated score of each detector: -log10 of the chance of such a raw score in the sensor''s own past' CODEC(ZSTD(1)) AFTER `scores`,
    ADD COLUMN IF NOT EXISTS `model_versions` LowCardinality(String) COMMENT 'JSON: version of each model that has one, by detector; '''' when none has' CODEC(ZSTD(1)) AFTER `surprises`,
    ADD COLUMN IF NOT EXISTS `expected` Nullable(Float64) COMMENT 'value that was forecast; NULL while unknown (so for the next two)' CODEC(ZSTD(1)) AFTER `model_versions`,
    ADD COLUMN IF NOT EXISTS `expected_low` Nullable(Float64) COMMENT 'lower end of the interval that was forecast' CODEC(ZSTD(1)) AFTER `expected`,
    ADD COLUMN IF NOT EXISTS `expected_high` Nullable(Float64) COMMENT 'upper end of the interval that was forecast' CODEC(ZSTD(1)) AFTER `expected_low`,
    COMMENT COLUMN `score` 'novelty of the moment by the models together: -log10 of its chance beside all that the sensor has shown, 0 while an equal one was given out shortly before; NaN while unknown',
    COMMENT COLUMN `is_anomaly` 'the verdict: the models together are in alarm, or the value is out of range',
    COMMENT COLUMN `model_anomaly` 'the models together are in alarm',
    COMMENT COLUMN `flagged_by` 'names of the rules, models and challengers that flagged it, each by itself';

-- A view keeps the columns it was made with.
CREATE OR REPLACE VIEW readings_final AS
SELECT * EXCEPT (stored_at)
FROM readings FINAL;

-- One row per reading and detector that scored or flagged it. A rule without a score of its own (stuck, out of range)
-- has NaN scores, as has a model that is still warming up.
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
    if(mapContains(surprises, detector), surprises[detector], nan) AS surprise,
    JSONExtractString(model_versions, detector) AS model_version,
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

-- How right each detector is, beside the rules and the models together and the verdict. agreement: share of all readings
-- on which it says what the verdict says. precision and recall: of the readings whose truth is known; NULL without any.
CREATE OR REPLACE VIEW detector_quality AS
WITH
    judged AS
    (
        SELECT
            arrayConcat(
                arrayDistinct(arrayConcat(mapKeys(scores), flagged_by)), ['= rules', '= models', '= verdict']
            ) AS names,
            arrayConcat(
                flagged_by,
                arrayFilter((name, yes) -> yes, ['= rules', '= models', '= verdict'],
                    [rule_anomaly, model_anomaly, is_anomaly])
            ) AS saying,
            is_anomaly,
            label != '' AS known,
            label NOT IN ('', 'normal') AS faulty
        FROM readings FINAL
    ),
    totals AS
    (
        SELECT count() AS readings, countIf(is_anomaly) AS anomalies, countIf(faulty) AS faults, countIf(known) AS labelled
        FROM judged
    ),
    counts AS
    (
        SELECT
            detector,
            countIf(has(saying, detector)) AS flagged,
            countIf(has(saying, detector) AND is_anomaly) AS agreed,
            countIf(has(saying, detector) AND faulty) AS hits,
            countIf(has(saying, detector) AND known AND NOT faulty) AS false_alarms
        FROM judged
        ARRAY JOIN names AS detector
        GROUP BY detector
    )
SELECT
    detector,
    readings,
    flagged,
    1 - (flagged + anomalies - 2 * agreed) / readings AS agreement,
    labelled,
    faults,
    hits,
    false_alarms,
    if(hits + false_alarms > 0, hits / (hits + false_alarms), NULL) AS precision,
    if(faults > 0, hits / faults, NULL) AS recall,
    if(faults > 0, 2 * hits / (hits + false_alarms + faults), NULL) AS f1
FROM counts
CROSS JOIN totals
ORDER BY detector;

-- Where rules and models agree, by type and location.
CREATE OR REPLACE VIEW rules_and_models AS
SELECT
    sensor_type,
    location,
    count() AS readings,
    countIf(rule_anomaly AND model_anomaly) AS both,
    countIf(rule_anomaly AND NOT model_anomaly) AS only_rules,
    countIf(model_anomaly AND NOT rule_anomaly) AS only_models,
    countIf(NOT rule_anomaly AND NOT model_anomaly) AS neither,
    (both + neither) / readings AS agreement
FROM readings FINAL
GROUP BY sensor_type, location
ORDER BY sensor_type, location;
