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
    -- Few combinations occur, so that what follows is small, however many the readings; they are read once.
    combinations AS
    (
        SELECT arrayDistinct(arrayConcat(any(flagged_by), if(any(is_anomaly), ['= verdict'], []))) AS names, count() AS n
        FROM readings_final
        WHERE time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}
            AND ({location:String} = '' OR location = {location:String})
            AND ({sensor_type:String} = '' OR sensor_type = {sensor_type:String})
        GROUP BY cityHash64(flagged_by, is_anomaly)
    ),
    -- Each with each, and with itself: how many readings it flags at all.
    pairs AS
    (
        SELECT one, other, sum(n) AS flagged, any(readings) AS readings
        FROM (SELECT names, n, sum(n) OVER () AS readings, arrayJoin(names) AS one FROM combinations)
        ARRAY JOIN names AS other
        GROUP BY one, other
    ),
    table AS
    (
        SELECT
            arraySort(groupUniqArray(toString(pairs.one))) AS detectors,
            mapFromArrays(groupArray(concat(pairs.one, '\n', pairs.other)), groupArray(flagged)) AS counts,
            any(pairs.readings) AS readings
        FROM pairs
    ),
    counts[concat(one, '\n', one)] / readings AS share_of_one,
    counts[concat(other, '\n', other)] / readings AS share_of_other,
    -- Agreement as it is, and as it would be if the two knew nothing of each other.
    1 - (only_one + only_other) / readings AS observed,
    share_of_one * share_of_other + (1 - share_of_one) * (1 - share_of_other) AS by_chance
SELECT
    one,
    other,
    counts[concat(one, '\n', other)] AS both,
    counts[concat(one, '\n', one)] - both AS only_one,
    counts[concat(other, '\n', other)] - both AS only_other,
    both / (both + only_one + only_other) AS jaccard,
    if(by_chance < 1, (observed - by_chance) / (1 - by_chance), NULL) AS kappa
FROM (SELECT counts, readings, detectors, arrayJoin(detectors) AS one FROM table)
ARRAY JOIN detectors AS other
WHERE one < other
ORDER BY kappa DESC NULLS LAST, one, other
