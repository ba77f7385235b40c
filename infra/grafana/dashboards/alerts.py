"""Alerts: what is open, what was, and what people did about it."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.grafana import base, headlines
from infra.grafana.base import PLACE
from infra.grafana.panels import (
    SEVERITY_COLOURS,
    Panel,
    fixed_colours,
    lines,
    number,
    ranking,
    rows,
)

BEGUN = f"$__timeFilter(started_at)\n    AND {PLACE}"


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-alerts",
        "streamgauge / Alerts",
        "What is open now, what was in the time range, how long it lasted, what people did about it.",
        variables=[base.location(), base.sensor_type()],
        annotations=[base.changes()],
        since="now-24h",
        sections=[("", _headline()), ("", _open()), ("", _over_time()), ("", _past())],
    )


def _headline() -> list[Panel]:
    return [
        headlines.open_alerts("Open now", width=8),
        number(
            "Open, seen by nobody",
            f"""
SELECT count() AS alerts
FROM alerts_current
WHERE status = 'open'
    AND {PLACE}
""",
            about="Open alerts that are neither acknowledged nor silenced nor inhibited by another.",
            steps=((None, "green"), (1, "orange")),
            history=False,
        ),
        number(
            "Begun",
            f"SELECT count() AS alerts FROM alerts_final WHERE {BEGUN}",
            about="Alerts that began in the time range.",
            history=False,
        ),
        number(
            "Usual length",
            f"""
SELECT quantileExact(0.5)(dateDiff('second', started_at, assumeNotNull(ended_at))) AS seconds
FROM alerts_final
WHERE {BEGUN}
    AND ended_at IS NOT NULL
""",
            about="Median, event time, of alerts that began in the time range and have ended.",
            unit="s",
            history=False,
        ),
        number(
            "Until acknowledged",
            f"""
SELECT quantileExact(0.5)(dateDiff('second', started_at, assumeNotNull(acknowledged_at))) AS seconds
FROM alerts_current
WHERE {BEGUN}
    AND acknowledged
""",
            about="Median time from an alert's begin to its acknowledgement.",
            unit="s",
            history=False,
        ),
    ]


def _open() -> list[Panel]:
    return [
        rows(
            "Open alerts",
            f"""
SELECT
    started_at AS since,
    severity,
    rule,
    sensor_id,
    location,
    sensor_type,
    peak_score,
    reason,
    multiIf(acknowledged, concat('acknowledged by ', acknowledged_by), status = 'open', '', status) AS seen
FROM alerts_current
WHERE state = 'open'
    AND {PLACE}
ORDER BY indexOf(['critical', 'warning', 'info'], severity), since
LIMIT 200
""",
            about="Whatever lasts, whenever it began; critical ones first.",
            link=True,
            width=24,
            height=9,
        )
    ]


def _over_time() -> list[Panel]:
    return [
        fixed_colours(
            lines(
                "Alerts begun",
                f"""
SELECT $__timeInterval(started_at) AS time, severity AS series, count() AS alerts
FROM alerts_final
WHERE {BEGUN}
GROUP BY time, series
ORDER BY time, series
""",
                about="By severity. A burst at one moment is often one cause.",
                bars=True,
                stacked=True,
                low=0,
                width=14,
            ),
            SEVERITY_COLOURS,
        ),
        ranking(
            "Sensors with the most alerts",
            f"""
SELECT if(sensor_id = '', concat(location, ' ', asset_id), sensor_id) AS name, count() AS alerts
FROM alerts_final
WHERE {BEGUN}
GROUP BY name
ORDER BY alerts DESC, name
LIMIT 10
""",
            about="In the time range; groups are shown by location and asset.",
            name="name",
            steps=((None, "orange"),),
            width=10,
            height=8,
        ),
    ]


def _past() -> list[Panel]:
    return [
        rows(
            "Alerts in the time range",
            f"""
SELECT
    started_at AS begin,
    ended_at AS end,
    dateDiff('second', started_at, ifNull(ended_at, $__toTime)) AS lasted,
    severity,
    rule,
    sensor_id,
    location,
    peak_score,
    reason
FROM alerts_current
WHERE {BEGUN}
ORDER BY begin DESC
LIMIT 500
""",
            about="Newest first; no end: it is open.",
            units={"lasted": "s"},
            link=True,
            width=16,
            height=11,
        ),
        rows(
            "What people did",
            """
SELECT at, actor, action, alert_id, until, comment
FROM alert_actions_final
WHERE $__timeFilter(at)
ORDER BY at DESC
LIMIT 200
""",
            about="Acknowledgements, silences, comments in the time range.",
            width=8,
            height=11,
        ),
    ]
