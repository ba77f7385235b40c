"""The page Alerts: what is open, what was, the evidence, and what people do about it."""

import json
from http import HTTPStatus
from typing import Any

from infra.clickhouse import alerts as stored
from infra.console.data.alert_deeds import DEEDS as DEEDS
from infra.console.data.anomaly import plain
from infra.console.data.rows import kinds, table_of_rows
from infra.console.dataset import Ask, Dataset
from infra.console.table import Table
from infra.http.answers import Problem

_LISTED = 500
_BARS = 60

_BY_SEVERITY = "indexOf(['critical', 'warning', 'info'], severity)"
_COLUMNS = """
    alert_id, status, state, severity, rule, started_at, fired_at, ended_at, sensor_id, sensor_type, location, asset_id,
    sensors, peak_score, reason, source, inhibited_by, acknowledged, acknowledged_by, acknowledged_at,
    acknowledged_comment"""

_ACTIONS = kinds(time="at since until", text="action actor comment matchers")


def alerts(ask: Ask) -> Table:
    """show = open: whatever is open, whenever it began, the most severe first. past: those that were open in the range
    and are over, newest first. range: all that were open in the range. At most 500; about.all says how many there are.
    """
    show = ask.choice("show", ("open", "past", "range"), "open")
    conditions = {
        "open": "state = 'open'",
        "past": f"state = 'resolved' AND {_overlaps(ask)}",
        "range": _overlaps(ask),
    }
    where = f"{conditions[show]} AND {ask.scope.chosen()}"
    order = f"{_BY_SEVERITY}, status != 'open', started_at DESC" if show == "open" else "started_at DESC"
    if show != "open":
        # What was done about an alert, and what inhibits it, is looked for only once it is known to be listed.
        newest = f"SELECT alert_id FROM alerts_final WHERE {where} ORDER BY started_at DESC, alert_id LIMIT {_LISTED}"
        found = ask.table(
            f"SELECT {_COLUMNS} FROM alerts_current WHERE alert_id IN ({newest}) ORDER BY {order}, alert_id"
        )
    else:
        found = ask.table(
            f"SELECT {_COLUMNS} FROM alerts_current WHERE {where} ORDER BY {order}, alert_id LIMIT {_LISTED}"
        )
    everything = len(found)
    if everything == _LISTED:
        (everything,) = ask.table(f"SELECT count() AS all FROM alerts_final WHERE {where}").columns["all"]
    return found.with_about(all=everything, shown=show, now_ms=ask.now_ms)


def _overlaps(ask: Ask) -> str:
    return (
        "started_at < fromUnixTimestamp64Milli({to_ms:Int64}) "
        "AND ifNull(ended_at >= fromUnixTimestamp64Milli({from_ms:Int64}), true)"
    )


def counts(ask: Ask) -> Table:
    """One row: open by severity, those nobody has seen; begun in the range; usual lengths, seconds of event time."""
    during = ask.scope.during("started_at")
    return ask.table(
        f"""
        SELECT countIf(told AND severity = 'critical') AS critical, countIf(told AND severity = 'warning') AS warning,
            countIf(told AND severity = 'info') AS info, countIf(status = 'open') AS unseen,
            countIf(status = 'acknowledged') AS in_hand, countIf(status = 'silenced') AS silenced,
            countIf(status = 'inhibited') AS inhibited, countIf(during) AS begun,
            quantileExactIfOrNull(0.5)(lasted_s, during AND lasted_s >= 0) AS median_s,
            quantileExactIfOrNull(0.5)(waited_s, during AND waited_s >= 0) AS until_acknowledged_s
        FROM
        (
            SELECT severity, status, status IN ('open', 'acknowledged') AS told, {during} AS during,
                ifNull(dateDiff('millisecond', started_at, ended_at) / 1000, -1) AS lasted_s,
                ifNull(dateDiff('millisecond', started_at, acknowledged_at) / 1000, -1) AS waited_s
            FROM alerts_current WHERE (state = 'open' OR {during}) AND {ask.scope.chosen()}
        )"""
    )


def begun(ask: Ask) -> Table:
    """Alerts that began, over time, by severity."""
    bucket_ms = ask.scope.bucket_ms(_BARS)
    found = ask.table(
        f"""
        SELECT fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(started_at), {{bucket:Int64}})
                * {{bucket:Int64}}) AS time,
            severity, count() AS alerts
        FROM alerts_final WHERE {ask.scope.during("started_at")} AND {ask.scope.chosen()}
        GROUP BY time, severity ORDER BY time, {_BY_SEVERITY}""",
        bucket=bucket_ms,
    )
    return found.with_about(bucket_ms=bucket_ms)


def alert(ask: Ask) -> Table:
    """What people did about one alert; about: the alert itself, its evidence, the alert that inhibits it."""
    wanted = ask.text("alert")
    with ask.reader.client() as client:
        found = [row for row in stored.named(client, wanted) if row["alert_id"] == wanted]
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, f"alert {wanted!r}: there is none with this id")
        (row,) = found
        inhibitor = stored.named(client, row["inhibited_by"])[:1] if row["inhibited_by"] else []
        actions = stored.actions_on(client, wanted)
        matching = [one for one in stored.silences(client, ended=False) if _silences(one, row)]
    told = {name: plain(value) for name, value in row.items() if name not in ("evidence", "version", "generation")}
    return table_of_rows(
        _ACTIONS,
        ({name: plain(one[name]) for name in _ACTIONS} for one in actions),
        alert=told,
        evidence=_evidence(row["evidence"]),
        inhibitor=plain(inhibitor[0]["reason"]) if inhibitor else "",
        silences=[_silence(one) for one in matching],
        now_ms=ask.now_ms,
    )


def _evidence(text: str) -> dict[str, Any]:
    """What was stored with it; a strongest reading that is the first one is said once."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    if found.get("peak") == found.get("first"):
        found.pop("peak", None)
    return found


def _silences(silence: dict[str, Any], alert: dict[str, Any]) -> bool:
    if silence["alert_id"]:
        return bool(silence["alert_id"] == alert["alert_id"])
    labels = _labels(silence["matchers"])
    return bool(labels) and all(str(alert.get(name, "")) == value for name, value in labels.items())


def _labels(matchers: str) -> dict[str, str]:
    try:
        found = json.loads(matchers or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _silence(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": one["state"],
        "kind": one["action"],
        "of": one["alert_id"] or ", ".join(f"{name} = {value}" for name, value in _labels(one["matchers"]).items()),
        "alert_id": one["alert_id"],
        "labels": _labels(one["matchers"]),
        "since": plain(one["since"]),
        "until": plain(one["until"]),
        "actor": one["actor"],
        "comment": one["comment"],
    }


_SILENCES = kinds(time="since until", text="state kind of reason alert_id actor comment", other="labels")


def silences(ask: Ask) -> Table:
    """Silences and maintenance that are active or planned; with ended=yes also those that are over."""
    ended = ask.choice("ended", ("yes", "no"), "no") == "yes"
    with ask.reader.client() as client:
        found = stored.silences(client, ended=ended)
    reasons = ask.table(
        "SELECT alert_id, any(alerts_final.reason) AS reason FROM alerts_final "
        "WHERE alert_id IN {ids:Array(String)} GROUP BY alert_id",
        ids=[one["alert_id"] for one in found if one["alert_id"]],
    )
    reason_of = {row["alert_id"]: row["reason"] for row in reasons.rows()}
    newest = sorted(map(_silence, found), key=lambda one: (one["state"] not in ("active", "planned"), -one["since"]))
    rows = ({**one, "reason": reason_of.get(one["alert_id"], "")} for one in newest[:_LISTED])
    return table_of_rows(_SILENCES, rows)


def rules(ask: Ask) -> Table:
    """What a silence can name: rules and severities of the alerts there were in the last weeks."""
    return ask.table(
        """
        SELECT rule, any(severity) AS severity, count() AS alerts FROM alerts_final
        WHERE started_at >= fromUnixTimestamp64Milli({now_ms:Int64} - 28 * 86400000) GROUP BY rule ORDER BY rule""",
        now_ms=ask.now_ms,
    )


DATASETS = (
    Dataset("alerts", "alerts, with what was done about them", alerts),
    Dataset("counts", "how many are open, and how long they last", counts),
    Dataset("begun", "alerts that began, over time", begun),
    Dataset("alert", "what people did about one alert", alert),
    Dataset("silences", "silences and maintenance", silences),
    Dataset("rules", "rules whose alerts there were", rules),
)
