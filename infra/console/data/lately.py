"""Readings are many: what is asked about them all is answered of the newest of the range, and that is said."""

from dataclasses import replace

from infra.console.dataset import Ask
from infra.console.table import Table

MOST = 500_000
"""Readings that one question looks at, about: whole windows are counted."""


def lately(ask: Ask, *, most: int = MOST) -> Ask:
    """The same question about the newest part of its range that holds so many readings, as windows have counted them.

    Without windows the range stays as it is. Raises Problem, ClickHouseError.
    """
    scope = ask.scope
    by_sensor = bool(scope.sensors)
    kind = "sensor_id != ''" if by_sensor else "sensor_id = '' AND location != '' AND sensor_type != ''"
    chosen = "sensor_id IN {sensors:Array(String)}" if by_sensor else scope.chosen(sensor=None)
    found = ask.table(
        f"""
        WITH (
            SELECT argMin(window, size_ms) FROM windows WHERE hop_ms = size_ms AND {kind} AND {scope.during("start")}
        ) AS shortest
        SELECT start
        FROM
        (
            SELECT start, sum(sum(count)) OVER (ORDER BY start DESC) AS readings
            FROM windows_final
            WHERE window = shortest AND {scope.during("start")} AND {chosen}
            GROUP BY start
        )
        WHERE readings > {{most:UInt64}} ORDER BY start DESC LIMIT 1""",
        most=most,
    )
    if not len(found):
        return ask
    return replace(ask, scope=replace(scope, from_ms=max(scope.from_ms, found.columns["start"][0])))


def told(table: Table, asked: Ask, answered: Ask) -> Table:
    """With the range that was looked at, when it is a part only."""
    return table.with_about(read_from_ms=answered.scope.from_ms, shortened=answered.scope != asked.scope)
