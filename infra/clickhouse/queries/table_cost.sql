-- What does each table cost on disk?
-- Rows as they are stored, replays included until they are merged; bytes on disk and before compression; parts (many
-- small ones are a sign of small inserts). Needs the right to read system.parts.
--
-- Parameters
--   none
--
-- Example
--   table    | rows  | bytes   | bytes_a_row | compression | parts | oldest              | newest
--   readings | 24970 | 1942353 |       77.79 |       2.525 |     4 | 2026-11-25 09:06:15 | 2026-11-25 09:06:15
--   windows  |  1806 |   62485 |        34.6 |       4.893 |     3 | 2026-11-25 09:06:15 | 2026-11-25 09:06:15
--   alerts   |     9 |   11894 |        1322 |        0.51 |     4 | 2026-11-25 09:06:17 | 2026-11-25 09:06:17
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
