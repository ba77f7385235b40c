"""What people do about alerts: acknowledge, silence, plan, lift a silence, comment; as `streamgauge alerts` does."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from infra.clickhouse import alerts
from infra.clickhouse.alerts import LABELS, Action
from infra.clickhouse.client import Client
from infra.console.dataset import Deed
from infra.http.answers import Problem
from operators.timestamps import to_ms

Body = Mapping[str, Any]

_MAX_TEXT = 1_000
_MAX_SPAN_MS = 400 * 86_400_000


def acknowledge(client: Client, body: Body, actor: str, now_ms: int) -> Body:
    """{"alert_id", "comment"}: somebody has it in hand."""
    return _about_one("ack", client, body, actor, now_ms)


def comment(client: Client, body: Body, actor: str, now_ms: int) -> Body:
    """{"alert_id", "comment"}: for whoever looks at it next."""
    if not _text(body, "comment"):
        raise _refused("comment: say something")
    return _about_one("comment", client, body, actor, now_ms)


def silence(client: Client, body: Body, actor: str, now_ms: int) -> Body:
    """{"alert_id" or "labels", "until", "comment"}: nobody is told from now on."""
    return _silence("silence", client, body, actor, now_ms, None)


def maintenance(client: Client, body: Body, actor: str, now_ms: int) -> Body:
    """{"labels", "from", "until", "comment"}: planned ahead."""
    return _silence("maintenance", client, body, actor, now_ms, _moment(body, "from"))


def unsilence(client: Client, body: Body, actor: str, now_ms: int) -> Body:
    """{"alert_id" or "labels", "comment"}: lifts all silences and maintenance of just these."""
    _only(body, "alert_id", "labels", "comment")
    alert_id, labels = _alert_or_labels(client, body, must_be_there=False)
    lifted = [
        one
        for one in alerts.silences(client, ended=False)
        if (one["alert_id"], one["matchers"]) == (alert_id, alerts.matchers_text(labels))
    ]
    if not lifted:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such silence; it may have ended, look again")
    _store(client, "unsilence", body, actor, now_ms, alert_id=alert_id, matchers=labels)
    return {"done": f"lifted: {len(lifted)}"}


def _about_one(kind: Literal["ack", "comment"], client: Client, body: Body, actor: str, now_ms: int) -> Body:
    _only(body, "alert_id", "comment")
    row = _alert(client, _text(body, "alert_id"))
    _store(client, kind, body, actor, now_ms, alert_id=row["alert_id"])
    return {"done": f"{'acknowledged' if kind == 'ack' else 'noted'}: {row['reason']}"}


def _silence(
    kind: Literal["silence", "maintenance"], client: Client, body: Body, actor: str, now_ms: int, since_ms: int | None
) -> Body:
    _only(body, "alert_id", "labels", "until", "comment", *([] if since_ms is None else ["from"]))
    begin_ms = now_ms if since_ms is None else since_ms
    until_ms = _moment(body, "until")
    if until_ms <= max(begin_ms, now_ms):
        raise _refused("until: must lie after the beginning, and after now")
    if until_ms - now_ms > _MAX_SPAN_MS:
        raise _refused("until: more than 400 days ahead; change the rule instead")
    alert_id, labels = _alert_or_labels(client, body, must_be_there=True)
    _store(client, kind, body, actor, now_ms, alert_id=alert_id, matchers=labels, since_ms=since_ms, until_ms=until_ms)
    of = alert_id or ", ".join(f"{name} = {value}" for name, value in labels.items())
    return {"done": f"{'silenced' if kind == 'silence' else 'planned'}: {of}", "until": until_ms}


def _store(client: Client, kind: Any, body: Body, actor: str, now_ms: int, **more: Any) -> None:
    alerts.store(client, [Action(action=kind, at_ms=now_ms, actor=actor, comment=_text(body, "comment"), **more)])


def _alert_or_labels(client: Client, body: Body, *, must_be_there: bool) -> tuple[str, dict[str, str]]:
    """One alert or labels, not both, not neither."""
    alert, labels = _text(body, "alert_id"), _labels(body)
    if bool(alert) == bool(labels):
        raise _refused("name one alert, or labels")
    if alert and must_be_there:
        alert = _alert(client, alert)["alert_id"]
    return alert, labels


def _alert(client: Client, alert_id: str) -> dict[str, Any]:
    found = [row for row in alerts.named(client, alert_id) if row["alert_id"] == alert_id] if alert_id else []
    if not found:
        raise Problem(HTTPStatus.NOT_FOUND, f"alert {alert_id!r}: there is none with this id")
    return found[0]


def _labels(body: Body) -> dict[str, str]:
    given = body.get("labels") or {}
    if not isinstance(given, dict):
        raise _refused('labels: must be an object, such as {"location": "hall-2"}')
    for name, value in given.items():
        if name not in LABELS or not isinstance(value, str) or not value or len(value) > _MAX_TEXT:
            raise _refused(f"labels: {name}: a text for one of {', '.join(LABELS)}")
    return dict(given)


def _only(body: Body, *names: str) -> None:
    unknown = body.keys() - set(names)
    if unknown:
        raise _refused(f"{min(unknown)}: there is no such field; there are {', '.join(names)}")


def _text(body: Body, name: str) -> str:
    found = body.get(name, "")
    if not isinstance(found, str) or len(found) > _MAX_TEXT:
        raise _refused(f"{name}: a text of at most {_MAX_TEXT} characters")
    return found.strip()


def _moment(body: Body, name: str) -> int:
    """RFC 3339 with an offset, or epoch milliseconds."""
    given = body.get(name)
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise _refused(f'{name}: a time, "2026-01-31T08:00:00Z" or epoch milliseconds')
    (moment,), faults = to_ms([given])
    if faults:
        raise _refused(faults[0].detail.replace("timestamp", name, 1))
    return int(moment)


def _refused(text: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)


DEEDS = (
    Deed("acknowledge", "say that somebody has an alert in hand", acknowledge),
    Deed("comment", "say something about an alert", comment),
    Deed("silence", "let nobody be told of an alert, or of those with certain labels", silence),
    Deed("maintenance", "plan a silence ahead", maintenance),
    Deed("unsilence", "lift silences", unsilence),
)
