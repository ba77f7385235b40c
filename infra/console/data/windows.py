"""The page Windows: tumbling and sliding aggregates of the groups there are."""

from http import HTTPStatus
from typing import Any

from infra.console.dataset import Ask, Dataset
from infra.console.table import Table
from infra.http.answers import Problem

GROUPS = 200
"""Groups that are listed, those with the most anomalies first."""

_POINTS = 450
GROUPED_BY = ("sensor_type", "location", "asset_id", "unit", "sensor_id", "topic")
_OF_GROUP = " AND ".join(f"{name} = {{{name}:String}}" for name in GROUPED_BY)


def groups(ask: Ask) -> Table:
    """Of one window: each group with its newest mean, its trend, how complete it is; a short course of its mean."""
    window, size_ms, _ = _window(ask)
    bucket_ms = ask.scope.bucket_ms(40, least_ms=min(size_ms, 60_000))
    found = ask.table(
        f"""
        SELECT {", ".join(GROUPED_BY)}, argMax(w.mean, start) AS mean, min(w.min) AS min, max(w.max) AS max,
            argMax(w.stddev, start) AS stddev, argMax(w.p95, start) AS p95, sum(w.count) AS count,
            sum(w.anomaly_count) AS anomaly_count,
            least(1, sumIf(w.count, w.expected_count IS NOT NULL) / nullIf(sum(w.expected_count), 0)) AS completeness,
            simpleLinearRegressionIf(
                (toUnixTimestamp64Milli(start) - {{from_ms:Int64}}) / 3600000, ifNull(w.mean, 0), w.mean IS NOT NULL
            ).1 AS trend,
            arrayMap(pair -> pair.2, arraySort(groupArrayIf((start, w.mean),
                toUnixTimestamp64Milli(start) % {{bucket:Int64}} = 0))) AS course
        FROM windows_final AS w
        WHERE window = {{window:String}} AND {ask.scope.during("start")} AND ({", ".join(GROUPED_BY)}) IN (
            SELECT {", ".join(GROUPED_BY)} FROM windows
            WHERE window = {{window:String}} AND {ask.scope.during("start")} AND {ask.scope.chosen()}
            GROUP BY {", ".join(GROUPED_BY)} ORDER BY sum(anomaly_count) DESC, {", ".join(GROUPED_BY)} LIMIT {GROUPS})
        GROUP BY {", ".join(GROUPED_BY)}
        ORDER BY anomaly_count DESC, {", ".join(GROUPED_BY)} LIMIT {GROUPS}""",
        window=window,
        bucket=bucket_ms,
    )
    return found.with_about(window=window, course_ms=bucket_ms)


def course(ask: Ask) -> Table:
    """One group's windows over time; of many, tumbling ones are merged and of sliding ones every n-th is shown.

    Without a group the one with the most anomalies. p95 of merged windows is the largest of them.
    """
    window, size_ms, hop_ms = _window(ask)
    group = ask.text("group") or _worst(ask, window)
    values = group.split("\x1f")
    if len(values) != len(GROUPED_BY):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"group: {len(GROUPED_BY)} values parted by U+001F")
    bucket_ms = max(ask.scope.bucket_ms(_POINTS, least_ms=min(hop_ms, 60_000)), hop_ms)
    merged = bucket_ms > hop_ms
    thinned = f"toUnixTimestamp64Milli(start) % {bucket_ms} = 0" if merged and hop_ms < size_ms else "true"
    found = ask.table(
        f"""
        SELECT
            fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(start), {{bucket:Int64}}) * {{bucket:Int64}}) AS at,
            sum(w.mean * w.count) / nullIf(sum(if(w.mean IS NULL, 0, w.count)), 0) AS mean, min(w.min) AS min,
            max(w.max) AS max,
            sqrt(greatest(0, sum(w.count * (w.stddev * w.stddev + w.mean * w.mean))
                / nullIf(sum(if(w.mean IS NULL, 0, w.count)), 0) - mean * mean)) AS stddev,
            max(w.p95) AS p95, sum(w.count) AS count, sum(w.expected_count) AS expected_count,
            sum(w.anomaly_count) AS anomaly_count, min(w.complete) AS complete,
            least(1, sumIf(w.count, w.expected_count IS NOT NULL) / nullIf(sum(w.expected_count), 0)) AS completeness,
            toInt64(count()) AS windows
        FROM windows_final AS w
        WHERE window = {{window:String}} AND {ask.scope.during("start")} AND {_OF_GROUP}
            AND {thinned}
        GROUP BY at ORDER BY at""",
        window=window,
        **dict(zip(GROUPED_BY, values, strict=True)),  # type: ignore[arg-type]
        bucket=bucket_ms,
    )
    told = {"window": window, "size_ms": size_ms, "hop_ms": hop_ms, "bucket_ms": bucket_ms, "group": values}
    return found.with_about(merged=merged, unit=_unit(ask, values), **told)


def _window(ask: Ask) -> tuple[str, int, int]:
    """Name, size and hop of the one asked for, else of the shortest that is grouped by what is chosen."""
    found = ask.table(
        f"""
        SELECT window, any(size_ms) AS size_ms, any(hop_ms) AS hop_ms FROM windows
        WHERE {ask.scope.during("start")} AND (window = {{window:String}} OR empty({{window:String}}))
        GROUP BY window
        ORDER BY max(sensor_id != '') = {{by_sensor:Bool}} DESC, size_ms, window LIMIT 1""",
        window=ask.text("window"),
        by_sensor=bool(ask.scope.sensors),
    )
    for row in found.rows():
        return row["window"], row["size_ms"], row["hop_ms"]
    return ask.text("window"), 60_000, 60_000


def _worst(ask: Ask, window: str) -> str:
    found = ask.table(
        f"""
        SELECT {", ".join(GROUPED_BY)} FROM windows
        WHERE window = {{window:String}} AND {ask.scope.during("start")} AND {ask.scope.chosen()}
        GROUP BY {", ".join(GROUPED_BY)} ORDER BY sum(anomaly_count) DESC, {", ".join(GROUPED_BY)} LIMIT 1""",
        window=window,
    )
    return "\x1f".join(found.columns[name][0] if len(found) else "" for name in GROUPED_BY)


def _unit(ask: Ask, group: list[str]) -> str:
    """Of a group's values; "" when it has several."""
    known: dict[str, Any] = dict(zip(GROUPED_BY, group, strict=True))
    if known["unit"]:
        return str(known["unit"])
    conditions = [f"{name} = {{{name}:String}}" for name in ("sensor_type", "location", "sensor_id") if known[name]]
    if not conditions:
        return ""
    found = ask.table(
        f"SELECT DISTINCT unit FROM readings WHERE {' AND '.join(conditions)} AND {ask.scope.during()} LIMIT 2", **known
    )
    return str(found.columns["unit"][0]) if len(found) == 1 else ""


DATASETS = (
    Dataset("groups", "groups of a window, those with the most anomalies first", groups),
    Dataset("course", "one group's windows over time", course),
)
