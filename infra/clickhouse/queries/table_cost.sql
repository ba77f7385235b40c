-- What does each table cost on disk?
-- Rows as they are stored, replays included until they are merged; bytes on disk and before compression; parts (many
-- small ones are a sign of small inserts). Needs the right to read system.parts.
--
-- Parameters
--   none
--
-- Example
--   table    | rows  | bytes   | bytes_a_row | compression | parts | oldest              | newest
--   readings | 24970 | 1938568 |       77.64 |        2.54 |     3 | 2026-11-25 09:28:53 | 2026-11-25 09:28:53
--   windows  |  1806 |   62485 |        34.6 |       4.893 |     3 | 2026-11-25 09:28:53 | 2026-11-25 09:28:53
--   alerts   |    30 |   14082 |       469.4 |       4.901 |     1 | 2026-11-25 09:29:17 | 2026-11-25 09:29:17
SELECT
    table,
    sum(p.rows) AS rows,
    sum(bytes_on_disk) AS bytes,
    bytes / nullIf(rows, 0) AS bytes_a_row,
    sum(data_uncompressed_bytes) / nullIf(sum(data_compressed_bytes), 0) AS compression,
    count() AS parts,
    min(modification_time) AS oldest,
    max(modification_time) AS newest
FROM system.parts AS p
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY bytes DESC, table
