-- Which detectors flag the same readings, pair by pair?
-- jaccard: of the readings that one of the two flags, the share that both flag. kappa (Cohen's): agreement beyond what
-- chance would give; 1 is perfect, 0 is chance. A challenger that agrees with nobody, or with one model in everything,
-- adds little. "= verdict" is the verdict on the reading.
--
-- Parameters
--   since: DateTime64(3, 'UTC') = 1h  -- from then on: a time, or how long ago
--   until: DateTime64(3, 'UTC') = now  -- up to then (exclusive)
--   location: String = ''  -- only there; '' for everywhere
--   sensor_type: String = ''  -- only of this type; '' for all
--
-- Example
--   one      | other   | both | only_one | only_other | jaccard | kappa
--   forecast | level   |  582 |        9 |          8 |  0.9716 | 0.9853
--   forecast | z-score |  591 |        0 |        205 |  0.7425 | 0.8481
--   level    | z-score |  590 |        0 |        206 |  0.7412 | 0.8472
WITH
    combinations AS
    (
        SELECT
            arraySort(arrayDistinct(arrayConcat(flagged_by, if(is_anomaly, ['= verdict'], [])))) AS names,
            count() AS n
        FROM readings_final
        WHERE time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}
            AND ({location:String} = '' OR location = {location:String})
            AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
        GROUP BY names
    ),
    (SELECT sum(n) FROM combinations) AS readings,
    alone AS
    (
        SELECT detector, sum(n) AS flagged
        FROM combinations
        ARRAY JOIN names AS detector
        GROUP BY detector
    ),
    pairs AS
    (
        SELECT one, other, sum(n) AS both
        FROM (SELECT names, n, one FROM combinations ARRAY JOIN names AS one)
        ARRAY JOIN names AS other
        WHERE one < other
        GROUP BY one, other
    ),
    -- Agreement as it is, and as it would be if the two knew nothing of each other.
    (readings - only_one - only_other) / readings AS observed,
    (a.flagged / readings) * (b.flagged / readings) + (1 - a.flagged / readings) * (1 - b.flagged / readings) AS by_chance
SELECT
    a.detector AS one,
    b.detector AS other,
    pairs.both AS both,
    a.flagged - both AS only_one,
    b.flagged - both AS only_other,
    both / (a.flagged + b.flagged - both) AS jaccard,
    if(by_chance < 1, (observed - by_chance) / (1 - by_chance), NULL) AS kappa
FROM alone AS a
CROSS JOIN alone AS b
LEFT JOIN pairs ON pairs.one = a.detector AND pairs.other = b.detector
WHERE a.detector < b.detector
ORDER BY kappa DESC NULLS LAST, one, other
