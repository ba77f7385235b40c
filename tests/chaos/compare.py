"""Whether the tables are those of an undisturbed run and hold what was sent: asked in SQL, for rows are many."""

from collections.abc import Iterator, Mapping

from clickhouse_connect.driver.client import Client

from operators.records import TABLES
from tests.running import COMPARED, ROUNDED

TABLES_COMPARED = (*COMPARED, "asset_verdicts")
_MOST_SHOWN = 5
_TOLERANCE = 1e-9

_SUMS = "SELECT count(), sum(cityHash64(toString(tuple({columns})))) FROM {database}.{table}_final"
_DIFFERENT = """
SELECT {identity}, groupUniqArray(origin) FROM
(
    SELECT {identity}, cityHash64(toString(tuple({columns}))) AS hash, '{one}' AS origin FROM {one}.{table}_final
    UNION ALL
    SELECT {identity}, cityHash64(toString(tuple({columns}))) AS hash, '{other}' AS origin FROM {other}.{table}_final
)
GROUP BY {identity}, hash HAVING count() != 2 ORDER BY {identity} LIMIT {limit}
"""
_ROUNDED = """
SELECT countIf(abs(a.`{column}` - b.`{column}`) > {tolerance} * greatest(1, abs(b.`{column}`)))
FROM {one}.{table}_final AS a INNER JOIN {other}.{table}_final AS b USING ({identity})
"""
_WINDOWS_BY_HAND = """
SELECT count(), countIf((w.count, w.min, w.max, w.anomaly_count) != (r.count, r.min, r.max, r.anomaly_count)
    OR abs(w.mean - r.mean) > {tolerance} * greatest(1, abs(r.mean)))
FROM
(
    SELECT sensor_id, start, count, min, max, mean, anomaly_count FROM {database}.windows_final
    WHERE window = '1m by sensor' AND count > 0
) AS w
LEFT JOIN
(
    SELECT sensor_id, toDateTime64(toStartOfMinute(time), 3, 'UTC') AS start, toInt64(count()) AS count,
        min(value) AS min, max(value) AS max, avg(value) AS mean, toInt64(countIf(is_anomaly)) AS anomaly_count
    FROM {database}.readings_final WHERE quality NOT IN ('late', 'after_idle') GROUP BY sensor_id, start
) AS r USING (sensor_id, start)
"""
_READ = "SELECT partition, sum(messages) FROM {database}.ledger_final WHERE stage = 'source' GROUP BY partition"


def differences(client: Client, one: str, other: str) -> Iterator[str]:
    """What is not the same in the final tables of two databases; nothing when all is."""
    for table in TABLES_COMPARED:
        columns = [column.name for column in TABLES[table].columns]
        rounded = [name for name in ROUNDED if name in columns]
        places = {
            "one": one,
            "other": other,
            "table": table,
            "identity": ", ".join(f"`{name}`" for name in TABLES[table].identity),
            "columns": ", ".join(f"`{name}`" for name in columns if name not in rounded),
            "tolerance": _TOLERANCE,
            "limit": _MOST_SHOWN,
        }
        sums = [client.query(_SUMS.format(database=name, **places)).result_rows[0] for name in (one, other)]
        if not sums[0][0] and table in COMPARED:  # assets take longer to be known than a short stream lasts
            yield f"{table}: no rows to compare"
        if sums[0] != sums[1]:
            rows = client.query(_DIFFERENT.format(**places)).result_rows
            yield f"{table}: {sums[0][0]:,} rows, {sums[1][0]:,} in the undisturbed run; different: {rows}"
        for column in rounded:
            if count := client.command(_ROUNDED.format(column=column, **places)):
                yield f"{table}: {count:,} rows of another {column}"


def miscounted(client: Client, database: str, sent: Mapping[int, int]) -> Iterator[str]:
    """Where not every message was read once, and windows that are not what SQL makes of the readings.

    sent: the next offset of each partition.
    """
    read = {
        int(partition): int(count) for partition, count in client.query(_READ.format(database=database)).result_rows
    }
    for partition, messages in sorted(sent.items()):
        if read.get(partition, 0) != messages:
            yield f"partition {partition}: {messages:,} messages sent, {read.get(partition, 0):,} read"
    sql = _WINDOWS_BY_HAND.format(database=database, tolerance=_TOLERANCE)
    windows, wrong = client.query(sql).result_rows[0]
    if wrong or not windows:
        yield f"{wrong:,} of {windows:,} windows by sensor are not what SQL makes of the readings"
