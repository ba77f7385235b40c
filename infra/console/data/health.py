"""The page Health: does everything come through, and at what cost."""

from dataclasses import asdict

from infra.console.data.rows import kinds, table_of_rows
from infra.console.dataset import Ask, Dataset
from infra.console.table import Table

_LATEST = 50
_PAYLOAD_SHOWN = 4_000


def intake(ask: Ask) -> Table:
    """Readings on time a second, and those flagged, as windows have counted them."""
    bucket_ms = ask.scope.bucket_ms(240, least_ms=60_000)
    found = ask.table(
        f"""
        WITH (
            SELECT argMin((window, size_ms), (size_ms, window)) FROM windows
            WHERE hop_ms = size_ms AND sensor_id = '' AND {ask.scope.during("start")}
        ) AS shortest
        SELECT
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            sum(w.count) * 1000 / {{bucket:Int64}} AS readings,
            sum(w.anomaly_count) * 1000 / {{bucket:Int64}} AS anomalies
        FROM windows_final AS w
        WHERE window = shortest.1 AND {ask.scope.during("start")} AND {ask.scope.chosen(sensor=None)}
        GROUP BY at ORDER BY at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms)


def doubtful(ask: Ask) -> Table:
    """Readings that count less than others, by what is wrong with them: late, conflict, out of order and the like."""
    bucket_ms = ask.scope.bucket_ms(60)
    found = ask.table(
        f"""
        SELECT
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(time), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            quality AS reason, uniqExact(sensor_id, time, topic, partition, offset, idx) AS readings
        FROM readings
        WHERE {ask.scope.during()} AND quality != 'ok' AND {ask.scope.chosen()}
        GROUP BY at, reason ORDER BY reason, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms)


def rejected(ask: Ask) -> Table:
    """Payloads that were refused, by reason; by the time of their Kafka messages."""
    bucket_ms = ask.scope.bucket_ms(60)
    found = ask.table(
        f"""
        SELECT
            fromUnixTimestamp64Milli(
                intDiv(toUnixTimestamp64Milli(kafka_time), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            reason, count() AS payloads
        FROM dead_letters_final WHERE {ask.scope.during("kafka_time")}
        GROUP BY at, reason ORDER BY reason, at""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms)


def letters(ask: Ask) -> Table:
    """The latest payloads that were refused, with what was wrong; long ones are cut."""
    return ask.table(
        f"""
        SELECT kafka_time AS time, topic, partition, offset, idx, reason, detail,
            leftUTF8(payload, {_PAYLOAD_SHOWN}) AS payload, payload_bytes
        FROM dead_letters_final WHERE {ask.scope.during("kafka_time")}
            AND (empty({{reason:String}}) OR reason = {{reason:String}})
        ORDER BY kafka_time DESC, topic, partition, offset, idx LIMIT {_LATEST}""",
        reason=ask.text("reason"),
    )


def ledger(ask: Ask) -> Table:
    """What became of all readings of each partition since the beginning. in_flight: not counted yet, or lost."""
    return ask.table(
        """
        SELECT topic, partition, sum(l.messages) AS messages, sum(l.readings) AS readings, sum(l.on_time) AS on_time,
            sum(l.late) AS late, sum(l.duplicates) AS duplicates, sum(l.rejected) AS rejected,
            readings - on_time - late - duplicates - rejected AS in_flight, sum(l.conflicts) AS conflicts
        FROM ledger_final AS l GROUP BY topic, partition ORDER BY topic, partition"""
    )


def quality(ask: Ask) -> Table:
    """Episodes of sensors' data that lie in the range: those that last first, then the latest."""
    return ask.table(
        f"""
        SELECT start, end, kind, sensor_id, sensor_type, location, readings, value FROM data_quality_final
        WHERE (end IS NULL OR end >= fromUnixTimestamp64Milli({{from_ms:Int64}}))
            AND start < fromUnixTimestamp64Milli({{to_ms:Int64}}) AND {ask.scope.chosen()}
        ORDER BY end IS NULL DESC, start DESC, sensor_id LIMIT {_LATEST}"""
    )


def events(ask: Ask) -> Table:
    """What happened to the flow itself in the range, newest first."""
    return ask.table(
        f"""
        SELECT time, kind, subject, detail FROM events_final WHERE {ask.scope.during()} AND kind != 'drift'
        ORDER BY time DESC, kind, subject LIMIT {_LATEST}"""
    )


def storage(ask: Ask) -> Table:
    """Rows, bytes and parts of each table, as they lie on the disk."""
    return ask.table(
        """
        SELECT table, sum(p.rows) AS rows, sum(bytes_on_disk) AS bytes, bytes / nullIf(rows, 0) AS bytes_a_row,
            count() AS parts
        FROM system.parts AS p WHERE active AND database = currentDatabase()
        GROUP BY table ORDER BY bytes DESC"""
    )


def workers(ask: Ask) -> Table:
    """Each process of the workers that are configured, as it was a moment ago."""
    return table_of_rows(_LOOK, [asdict(one) for one in ask.known.workers.newest()], known=_known(ask))


def workers_course(ask: Ask) -> Table:
    """The same over the last half hour."""
    return table_of_rows(_LOOK, [asdict(one) for one in ask.known.workers.course()], known=_known(ask))


def _known(ask: Ask) -> int:
    return len(ask.known.workers.addresses)


_LOOK = kinds(
    text="address process trouble",
    time="time_ms",
    number="readings readings_total cpu cpu_total_s memory_bytes lag watermark_delay_s epoch_age_s state_bytes sensors "
    "buffered_bytes",
)

DATASETS = (
    Dataset("intake", "readings a second, by windows", intake),
    Dataset("doubtful", "late and other doubtful readings, by reason", doubtful),
    Dataset("rejected", "refused payloads, by reason", rejected),
    Dataset("letters", "the latest refused payloads", letters),
    Dataset("ledger", "what became of all readings, by partition", ledger),
    Dataset("quality", "episodes of sensors' data: silent, stuck, gaps", quality),
    Dataset("events", "what happened to the flow itself", events),
    Dataset("storage", "tables on the disk", storage),
    Dataset("workers", "processes of the workers now", workers),
    Dataset("workers-course", "processes of the workers over the last half hour", workers_course),
)
