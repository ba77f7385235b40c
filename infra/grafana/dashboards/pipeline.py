"""Pipeline health: does everything that is sent get through, and how fast?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base
from infra.grafana.panels import (
    FEWER_IS_BETTER,
    Panel,
    lines,
    number,
    ranking,
    rows,
)

TROUBLE = "('detector_off', 'degraded', 'silent', 'audit', 'evicted')"


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-pipeline",
        "streamgauge / Pipeline health",
        "Does everything that is sent get through, and how fast? What happened to the flow. What the tables cost.",
        variables=[base.groups()],
        annotations=[base.changes()],
        refresh="10s",
        sections=[
            ("", _headline()),
            ("", _speed()),
            ("Every reading accounted for", _accounts()),
            ("What happened", _events()),
            ("What it costs", _cost()),
        ],
    )


def _headline() -> list[Panel]:
    return [
        number(
            "Behind the clock",
            "SELECT dateDiff('second', max(end), now()) AS seconds FROM windows_final\n"
            "WHERE `window` = ${groups:singlequote} AND $__timeFilter(start)",
            about="Wall-clock time since the end of the newest closed window.",
            unit="s",
            steps=((None, "green"), (180, "yellow"), (600, "red")),
            history=False,
        ),
        number(
            "Last counted",
            "SELECT dateDiff('second', max(stored_at), now()) AS seconds FROM ledger",
            about="Wall-clock time since the flow last wrote into its ledger: it does so at the end of each pane.",
            unit="s",
            steps=((None, "green"), (180, "yellow"), (600, "red")),
            history=False,
        ),
        number(
            "Readings in all",
            "SELECT sum(l.readings) AS readings FROM ledger_final AS l",
            about="All that was ever found in Kafka messages, good and bad; not of the time range.",
            history=False,
        ),
        number(
            "Late",
            "SELECT sum(l.late) / nullIf(sum(l.on_time) + sum(l.late), 0) AS share FROM ledger_final AS l",
            about="Of all readings ever accepted, those older than the watermark.",
            unit="percentunit",
            steps=((None, "green"), (0.001, "yellow"), (0.01, "red")),
            history=False,
            decimals=2,
        ),
        number(
            "Refused",
            "SELECT sum(l.rejected) / nullIf(sum(l.readings), 0) AS share FROM ledger_final AS l",
            about="Of all readings ever found, those refused; each is in the dead letters with its reason.",
            unit="percentunit",
            steps=FEWER_IS_BETTER,
            history=False,
            decimals=2,
        ),
        number(
            "Trouble",
            f"SELECT count() AS events FROM events_final WHERE $__timeFilter(time) AND kind IN {TROUBLE}",
            about="Events in the time range that somebody should read; they are in the table below.",
            steps=((None, "green"), (1, "orange")),
            history=False,
        ),
    ]


def _speed() -> list[Panel]:
    return [
        lines(
            "Readings stored a second",
            """
SELECT $__timeInterval(stored_at) AS time, count() / $__interval_s AS rate
FROM readings
WHERE stored_at >= $__fromTime AND stored_at <= $__toTime
GROUP BY time
ORDER BY time
""",
            about="By the wall clock: what ClickHouse takes. A replay after a crash counts again.",
            low=0,
            width=12,
        ),
        lines(
            "From the sensor to the table",
            """
SELECT
    $__timeInterval(stored_at) AS time,
    quantile(0.5)(dateDiff('millisecond', readings.time, stored_at) / 1000) AS median,
    quantile(0.95)(dateDiff('millisecond', readings.time, stored_at) / 1000) AS `95 % below`
FROM readings
WHERE stored_at >= $__fromTime AND stored_at <= $__toTime
GROUP BY time
ORDER BY time
""",
            about="Age of readings when they were stored, in whole seconds. High while history is caught up.",
            unit="s",
            low=0,
            width=12,
        ),
    ]


def _accounts() -> list[Panel]:
    return [
        rows(
            "Partitions",
            """
SELECT
    topic,
    partition,
    sum(l.messages) AS messages,
    sum(l.readings) AS readings,
    sum(l.on_time) AS on_time,
    sum(l.late) AS late,
    sum(l.duplicates) AS duplicates,
    sum(l.rejected) AS rejected,
    sum(l.late) / nullIf(sum(l.on_time) + sum(l.late), 0) AS late_share,
    sum(l.rejected) / nullIf(sum(l.readings), 0) AS rejected_share
FROM ledger_final AS l
GROUP BY topic, partition
ORDER BY topic, partition
""",
            about="readings = on time + late + duplicates + rejected, since the beginning; `streamgauge audit` compares"
            " that with what is stored.",
            cells={
                "late_share": ((None, "transparent"), (0.001, "yellow"), (0.01, "red")),
                "rejected_share": ((None, "transparent"), (0.01, "yellow"), (0.1, "red")),
            },
            width=16,
        ),
        ranking(
            "Share of the readings by partition",
            """
SELECT concat(topic, '/', toString(partition)) AS name, sum(l.readings) / any(total) AS share
FROM ledger_final AS l
CROSS JOIN (SELECT sum(readings) AS total FROM ledger_final) AS whole
GROUP BY name
ORDER BY share DESC
LIMIT 20
""",
            about="Sensors are spread over partitions by their names; one that has most of them holds the others back.",
            name="name",
            unit="percentunit",
            steps=((None, "blue"),),
            width=8,
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Events",
            """
SELECT $__timeInterval(time) AS time, kind AS series, count() AS events
FROM events_final
WHERE $__timeFilter(events_final.time)
GROUP BY time, series
ORDER BY time, series
""",
            about="By kind: restarts, idle partitions, model changes, drift, a machine short of something.",
            bars=True,
            stacked=True,
            low=0,
            width=10,
        ),
        rows(
            "Newest events",
            """
SELECT time, kind, subject, detail
FROM events_final
WHERE $__timeFilter(events_final.time)
ORDER BY time DESC
LIMIT 300
""",
            about="What happened to the flow, its models and its machine.",
            widths={"time": 165, "kind": 120, "subject": 180},
            width=14,
            height=8,
        ),
    ]


def _cost() -> list[Panel]:
    return [
        rows(
            "Tables",
            """
SELECT
    table,
    sum(p.rows) AS rows,
    sum(bytes_on_disk) AS bytes,
    bytes / nullIf(rows, 0) AS bytes_a_row,
    sum(data_uncompressed_bytes) / nullIf(sum(data_compressed_bytes), 0) AS compression,
    count() AS parts
FROM system.parts AS p
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY bytes DESC
""",
            about="Rows as stored, replays included until they are merged. Many small parts: inserts are too small.",
            units={"bytes": "bytes", "bytes_a_row": "bytes"},
            width=14,
        ),
        ranking(
            "On disk",
            """
SELECT table, sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY bytes DESC
""",
            about="Compressed bytes of each table.",
            name="table",
            unit="bytes",
            steps=((None, "blue"),),
            width=10,
        ),
    ]
