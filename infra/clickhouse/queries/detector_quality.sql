-- How right is each detector, where the truth is known?
-- A detector says yes to a reading when it flags it by itself. Rows that start with "=" are the rules together, the
-- models together and the verdict. precision, recall and f1 are of the readings with a label; NULL without any fault.
-- agreement is the share of all readings on which it says what the verdict says.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 1h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   location: String = ''  -- only there; '' for everywhere
--   sensor_type: String = ''  -- only of this type; '' for all
--
-- Example
--   detector  | readings | flagged | agreement | labelled | faults | hits | false_alarms | precision | recall | f1
--   = models  |    24968 |    1820 |         1 |    24968 |   2509 | 1819 |            1 |    0.9995 |  0.725 | 0.8404
--   = verdict |    24968 |    1820 |         1 |    24968 |   2509 | 1819 |            1 |    0.9995 |  0.725 | 0.8404
--   = rules   |    24968 |    1800 |     0.983 |    24968 |   2509 | 1659 |          141 |    0.9217 | 0.6612 |   0.77
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
        FROM readings_final
        WHERE time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}
            AND ({location:String} = '' OR location = {location:String})
            AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
    ),
    -- Few combinations of names occur: what follows is small, however many the readings.
    combinations AS
    (
        SELECT names, saying, is_anomaly, known, faulty, count() AS n
        FROM judged
        GROUP BY names, saying, is_anomaly, known, faulty
    ),
    totals AS
    (
        SELECT sum(n) AS readings, sumIf(n, is_anomaly) AS anomalies, sumIf(n, known) AS labelled, sumIf(n, faulty) AS faults
        FROM combinations
    ),
    counts AS
    (
        SELECT
            detector,
            sumIf(n, has(saying, detector)) AS flagged,
            sumIf(n, has(saying, detector) AND is_anomaly) AS agreed,
            sumIf(n, has(saying, detector) AND faulty) AS hits,
            sumIf(n, has(saying, detector) AND known AND NOT faulty) AS false_alarms
        FROM combinations
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
ORDER BY f1 DESC NULLS LAST, detector
