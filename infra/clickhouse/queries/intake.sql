-- What became of the readings of each partition?
-- The sums of the ledger since the beginning: readings = on_time + late + duplicates + rejected (+ in_flight, while the
-- flow runs). conflicts are among on_time; a late share that grows says that `lateness` is too short.
--
-- Parameters
--   none
--
-- Example
--   topic            | partition | messages | readings | on_time | late | duplicates | rejected | conflicts | late_share
--   sensors.readings |         0 |     9091 |     9091 |    8923 |   41 |         44 |       83 |        12 |   0.004574
--   sensors.readings |         1 |    16228 |    16228 |   15941 |   65 |         70 |      152 |        23 |   0.004061
SELECT
    topic,
    partition,
    sum(l.messages) AS messages,
    sum(l.readings) AS readings,
    sum(l.on_time) AS on_time,
    sum(l.late) AS late,
    sum(l.duplicates) AS duplicates,
    sum(l.rejected) AS rejected,
    sum(l.conflicts) AS conflicts,
    late / nullIf(on_time + late, 0) AS late_share
FROM ledger_final AS l
GROUP BY topic, partition
ORDER BY topic, partition
