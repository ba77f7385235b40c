"""Readings are many: what is asked about them all is answered of the newest of the range, and that is said."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from infra.console.dataset import Ask
from infra.console.table import Table

MOST = 500_000
"""Readings that one question looks at, about: whole windows are counted."""


class Look(NamedTuple):
    """ask: the same question about the part of its range that is looked at. readings: there, as windows count them."""

    ask: Ask
    readings: int


def look(ask: Ask) -> Look:
    """At the newest part of the range that holds MOST readings; at all of it where there are no windows.

    Raises Problem, ClickHouseError.
    """
    scope = ask.scope
    shortest, chosen = _windows(ask)
    (found,) = ask.table(
        f"""
        SELECT maxOrNullIf(start, total > {{most:UInt64}}) AS since, max(total) AS readings
        FROM
        (
            SELECT start, sum(sum(count)) OVER (ORDER BY start DESC) AS total
            FROM windows_final
            WHERE window = {shortest} AND {scope.during("start")} AND {chosen}
            GROUP BY start
        )""",
        most=MOST,
    ).rows()
    if found["since"] is None:
        return Look(ask, found["readings"])
    return Look(replace(ask, scope=replace(scope, from_ms=max(scope.from_ms, found["since"]))), MOST)


def counted(ask: Ask, bucket_ms: int) -> Iterator[dict[str, int]]:
    """Readings, and those flagged by the verdict, of the whole range, as windows have counted them: time, readings,
    verdict."""
    shortest, chosen = _windows(ask)
    found = ask.table(
        f"""
        SELECT intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}} AS time,
            sum(count) AS readings, sum(anomaly_count) AS verdict
        FROM windows_final WHERE window = {shortest} AND {ask.scope.during("start")} AND {chosen}
        GROUP BY time ORDER BY time""",
        bucket=bucket_ms,
    )
    return found.rows()


def _windows(ask: Ask) -> tuple[str, str]:
    """The shortest that say of which readings they are, and conditions for those that are asked about."""
    by_sensor = bool(ask.scope.sensors)
    kind = "sensor_id != ''" if by_sensor else "sensor_id = '' AND location != '' AND sensor_type != ''"
    chosen = "sensor_id IN {sensors:Array(String)}" if by_sensor else ask.scope.chosen(sensor=None)
    during = ask.scope.during("windows.start")
    return f"(SELECT argMin(window, size_ms) FROM windows WHERE hop_ms = size_ms AND {kind} AND {during})", chosen


def lately(ask: Ask) -> Ask:
    """The question about the part that is looked at."""
    return look(ask).ask


def looked_at(ask: Ask, *more: str) -> str:
    """Conditions on `readings FINAL`. more: of columns that name a row, as the time does: these may be looked at before
    versions of rows are merged, which spares most of the work."""
    return f"PREWHERE {' AND '.join((ask.scope.during('readings.time'), *more))} WHERE {ask.scope.chosen()}"


def told(table: Table, asked: Ask, answered: Ask) -> Table:
    """With the range that was looked at, when it is a part only."""
    return table.with_about(read_from_ms=answered.scope.from_ms, shortened=answered.scope != asked.scope)
