"""What all dashboards share: variables, annotations, links, and the filters of their queries."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from infra.grafana.datasource import DATASOURCE, AnnotationSql
from infra.grafana.names import TAG
from infra.grafana.panels import Panel

PLACE = (
    "$__conditionalAll(location IN (${location:singlequote}), $location)\n"
    "    AND $__conditionalAll(sensor_type IN (${sensor_type:singlequote}), $sensor_type)"
)
"""Rows of the chosen locations and types."""

GROUPS = f"`window` = ${{groups:singlequote}} AND $__timeFilter(start)\n    AND {PLACE}"
"""Windows by location and type: the shortest tumbling ones."""

RECENT = "$__timeFilter(time) AND time >= $__toTime - INTERVAL 6 HOUR"
"""The last hours of the time range: enough to know where a sensor is, however long the range."""

KNOWN = (
    "(SELECT sensor_id, any(location) AS location, any(sensor_type) AS sensor_type FROM readings\n"
    f"    WHERE {RECENT} GROUP BY sensor_id)"
)
"""Where each sensor is and what it measures."""

SENSORS = (
    "`window` = ${by_sensor:singlequote} AND $__timeFilter(start) AND sensor_id != ''\n"
    f"    AND $__conditionalAll(sensor_id IN (SELECT sensor_id FROM {KNOWN}"
    " WHERE location IN (${location:singlequote})), $location)\n"
    f"    AND $__conditionalAll(sensor_id IN (SELECT sensor_id FROM {KNOWN}"
    " WHERE sensor_type IN (${sensor_type:singlequote})), $sensor_type)"
)
"""Windows by sensor: the shortest tumbling ones."""


def most(order: str, rows: str) -> str:
    """Windows of the sixty groups that come first in this order, so that a plant of thousands can be looked at."""
    return (
        f"{rows}\n    AND (location, sensor_type) IN (SELECT location, sensor_type FROM windows_final WHERE {rows}\n"
        f"    GROUP BY location, sensor_type ORDER BY {order}, location, sensor_type LIMIT 60)"
    )


READINGS = f"$__timeFilter(readings_final.time)\n    AND {PLACE}"
"""Readings. With the table's name: an alias `time` would hide the column, and begins of intervals be compared."""


def location() -> dashboard.QueryVariable:
    """The chosen locations."""
    sql = "SELECT DISTINCT location FROM windows WHERE $__timeFilter(start) AND location != '' ORDER BY location"
    return _choice("location", "Location", sql)


def sensor_type() -> dashboard.QueryVariable:
    """The chosen sensor types."""
    sql = (
        "SELECT DISTINCT sensor_type FROM windows WHERE $__timeFilter(start) AND sensor_type != '' ORDER BY sensor_type"
    )
    return _choice("sensor_type", "Type", sql)


def sensor() -> dashboard.QueryVariable:
    """One sensor, of those heard in the last hours of the time range."""
    sql = f"SELECT DISTINCT sensor_id FROM readings\nWHERE {RECENT}\n    AND {PLACE}\nORDER BY sensor_id"
    return _query("sensor", sql).label("Sensor").multi(False).include_all(False)


def groups() -> dashboard.QueryVariable:
    """Hidden: the name of the shortest tumbling window that is not by sensor."""
    return _shortest("groups", "sensor_id = '' AND asset_id = ''")


def by_sensor() -> dashboard.QueryVariable:
    """Hidden: the name of the shortest tumbling window by sensor."""
    return _shortest("by_sensor", "sensor_id != ''")


def window() -> dashboard.QueryVariable:
    """Any window that is not by sensor."""
    sql = (
        "SELECT `window` FROM windows WHERE $__timeFilter(start) AND sensor_id = '' "
        "GROUP BY `window` ORDER BY min(hop_ms = size_ms) DESC, min(size_ms)"
    )
    unsorted = VariableSort.DISABLED
    return _query("window", sql).label("Window").multi(False).include_all(False).sort(unsorted)


def _shortest(name: str, which: str) -> dashboard.QueryVariable:
    sql = (
        f"SELECT `window` FROM windows WHERE $__timeFilter(start) AND hop_ms = size_ms AND {which} "
        "GROUP BY `window` ORDER BY min(size_ms) LIMIT 1"
    )
    return _query(name, sql).hide(VariableHide.HIDE_VARIABLE).multi(False).include_all(False)


def _choice(name: str, label: str, sql: str) -> dashboard.QueryVariable:
    everything = VariableOption(selected=True, text=["All"], value=["$__all"])
    return _query(name, sql).label(label).multi(True).include_all(True).current(everything)


def _query(name: str, sql: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .datasource(DATASOURCE)
        .query(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def alerts(*, of_sensor: bool = False) -> AnnotationQuery:
    """Shades the time of each alert."""
    which = "sensor_id = ${sensor:singlequote}" if of_sensor else PLACE
    sql = f"""
SELECT
    started_at AS time,
    ifNull(ended_at, $__toTime) AS timeEnd,
    concat(severity, ': ', reason) AS text,
    arrayStringConcat(arrayFilter(one -> one != '', [rule, location, sensor_id]), ',') AS tags
FROM alerts_final
WHERE started_at <= $__toTime AND ifNull(ended_at, $__toTime) >= $__fromTime
    AND {which}
ORDER BY time DESC
LIMIT 200
"""
    return _annotation("Alerts", sql, "red")


def changes() -> AnnotationQuery:
    """Marks what changed the flow or its models."""
    sql = """
SELECT time, concat(kind, ' ', subject, ': ', detail) AS text, kind AS tags
FROM events_final
WHERE $__timeFilter(time) AND kind IN ('model_change', 'drift', 'restart', 'detector_off', 'partitions')
ORDER BY time DESC
LIMIT 200
"""
    return _annotation("Model and flow changes", sql, "purple")


def _annotation(name: str, sql: str, colour: str) -> AnnotationQuery:
    return AnnotationQuery(
        name=name, datasource=DATASOURCE, icon_color=colour, target=AnnotationSql(sql), built_in=None
    )


class _Built(dashboard.AnnotationQuery):
    def __init__(self, made: AnnotationQuery) -> None:
        super().__init__()
        self._internal = made


def board(
    uid: str,
    title: str,
    about: str,
    *,
    variables: Sequence[dashboard.QueryVariable],
    annotations: Sequence[AnnotationQuery],
    sections: Sequence[tuple[str, Sequence[Panel]]],
    since: str = "now-1h",
    refresh: str = "30s",
    repeat: str = "",
) -> Dashboard:
    """A dashboard of sections, each a headed row of panels; a section without a title has no row.

    repeat: a variable for each of whose values the last section is drawn once.
    """
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .time(since, "now")
        .refresh(refresh)
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(
            dashboard.DashboardLink("streamgauge")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .annotations([_Built(one) for one in annotations])
        .variables(list(variables))
    )
    number = 1
    for heading, panels in sections:
        if heading:
            row = dashboard.Row(heading).id(number)
            if repeat and panels is sections[-1][1]:
                row = row.repeat(repeat)
            made.with_row(row)
            number += 1
        for panel in panels:
            made.with_panel(panel.id(number))
            number += 1
    return made.build()
