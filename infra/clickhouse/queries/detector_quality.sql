-- How right is each detector, where the truth is known?
-- A detector says yes to a reading when it flags it by itself. Rows that start with "=" are the rules together, the
-- models together and the verdict. precision, recall and f1 are of the readings with a label; NULL without any fault.
-- agreement is the share of all readings on which it says what the verdict says. A detector that flags nothing is listed
-- when it scored one of the first 100,000 readings.
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
    -- Few combinations occur, so that what follows is small, however many the readings; they are read once.
    combinations AS
    (
        SELECT
            any(flagged_by) AS flags,
            any(rule_anomaly) AS rule,
            any(model_anomaly) AS model,
            any(is_anomaly) AS verdict,
            any(label != '') AS known,
            any(label NOT IN ('', 'normal')) AS faulty,
            count() AS n
        FROM readings_final
        WHERE time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}
            AND ({location:String} = '' OR location = {location:String})
            AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
        GROUP BY cityHash64(flagged_by, rule_anomaly, model_anomaly, is_anomaly, label = '', label = 'normal')
    ),
    totals AS
    (
        SELECT
            *,
            sum(n) OVER () AS readings,
            sum(n * verdict) OVER () AS anomalies,
            sum(n * known) OVER () AS labelled,
            sum(n * faulty) OVER () AS faults
        FROM combinations
    ),
    said AS
    (
        SELECT
            arrayJoin(arrayConcat(
                arrayDistinct(flags),
                arrayFilter((name, yes) -> yes, ['= rules', '= models', '= verdict'], [rule, model, verdict])
            )) AS detector,
            n, verdict, known, faulty, readings, anomalies, labelled, faults
        FROM totals
        UNION ALL
        SELECT DISTINCT arrayJoin(arrayConcat(mapKeys(scores), ['= rules', '= models', '= verdict'])), 0, 0, 0, 0, 0, 0, 0, 0
        FROM
        (
            SELECT scores
            FROM readings_final
            WHERE time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}
                AND ({location:String} = '' OR location = {location:String})
                AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
            LIMIT 100000
        )
    ),
    counts AS
    (
        SELECT
            detector,
            sum(n) AS flagged,
            sum(n * verdict) AS agreed,
            sum(n * faulty) AS hits,
            sum(n * (known AND NOT faulty)) AS false_alarms,
            max(max(said.readings)) OVER () AS readings,
            max(max(said.anomalies)) OVER () AS anomalies,
            max(max(said.labelled)) OVER () AS labelled,
            max(max(said.faults)) OVER () AS faults
        FROM said
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
ORDER BY f1 DESC NULLS LAST, detector
