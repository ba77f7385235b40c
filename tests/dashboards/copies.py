"""Millions of readings from some thousands: what a flow has stored, copied to more sensors and to earlier times."""

from clickhouse_connect.driver.client import Client

_SENSORS = 25
"""At most so many copies of each sensor, at as many further locations; then further times."""

_STEP_MINUTES = 30
_TIMES = {
    "readings": ("time",),
    "windows": ("start", "end"),
    "data_quality": ("start", "end"),
    "asset_verdicts": ("time",),
    "alerts": ("started_at", "ended_at", "updated_at"),
    "dead_letters": ("kafka_time",),
    "events": ("time",),
}
"""Columns of each table that are moved."""

_NAMES = ("sensor_id", "location", "asset_id")


def multiply(client: Client, source: str, *, readings: int) -> int:
    """Fill the client's empty database from the database `source`; returns by how many minutes the rows reach back."""
    ((stored,),) = client.query(f"SELECT count() FROM {source}.readings").result_rows
    copies = min(_SENSORS, -(-readings // int(stored)))
    steps = -(-readings // (int(stored) * copies))
    for table, times in _TIMES.items():
        named = "sensor_id" in _columns(client, source, table) or table == "asset_verdicts"
        for step in range(steps):
            for first in range(0, copies if named else 1, 5):
                _copy(client, source, table, times, step, range(first, min(first + 5, copies) if named else 1))
    for table in ("ledger", "alert_actions"):
        client.command(f"INSERT INTO {table} SELECT * FROM {source}.{table}")
    return steps * _STEP_MINUTES


def _columns(client: Client, source: str, table: str) -> list[str]:
    sql = "SELECT name FROM system.columns WHERE database = {db:String} AND table = {table:String} ORDER BY position"
    return [row[0] for row in client.query(sql, parameters={"db": source, "table": table}).result_rows]


def _copy(client: Client, source: str, table: str, times: tuple[str, ...], step: int, copies: range) -> None:
    columns = _columns(client, source, table)
    made = {name: f"`{name}`" for name in columns}
    made |= {name: f"`{name}` - toIntervalMinute({step * _STEP_MINUTES})" for name in times}
    if copies.stop > 1:
        made |= {name: f"if(`{name}` = '', '', concat(`{name}`, '-', toString(n)))" for name in _NAMES if name in made}
    if "offset" in made:
        made["offset"] = f"`offset` + 1000000 * ({step * _SENSORS} + n)"
    if "alert_id" in made:
        made["alert_id"] = f"concat(alert_id, '-', toString({step * _SENSORS} + n))"
    names = ", ".join(f"`{name}`" for name in columns)
    client.command(
        f"INSERT INTO {table} ({names}) SELECT {', '.join(made[name] for name in columns)} FROM {source}.{table} "
        f"CROSS JOIN (SELECT number + {copies.start} AS n FROM numbers({len(copies)})) AS copies"
    )
