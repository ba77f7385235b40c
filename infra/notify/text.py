"""Alerts in words: templates of `string.Template`, which only fill in; a title, and what is said of each alert."""

from collections.abc import Mapping
from string import Template

from infra.notify.message import Change, Telling, worst

TITLE = "$status: $reason"
BODY = """\
$reason
  $state, $severity, rule $rule, since $since
  $labels
  streamgauge alerts show $alert_id"""

FIELDS = (
    *("alert_id", "state", "status", "severity", "rule", "reason", "labels", "since", "started_at", "ended_at"),
    *("sensor_id", "sensor_type", "location", "asset_id", "sensors", "source"),
)
"""What templates can name. status: resolved, else the severity, "still" before it when it is told once more; labels,
since: as one line."""


def check(text: str) -> None:
    """Raises ValueError that says what is wrong with a template."""
    template = Template(text)
    if not template.is_valid():
        raise ValueError("a $ that begins no name; write $$ for the sign itself, and ${name} before letters")
    if unknown := sorted(set(template.get_identifiers()) - set(FIELDS)):
        raise ValueError(f"there is no ${', $'.join(unknown)}; there are {', '.join(FIELDS)}")


class Words:
    """title, body: templates; "" for the usual ones. Raises ValueError."""

    def __init__(self, title: str = "", body: str = "") -> None:
        for text in (title, body):
            check(text)
        self._title, self._body = Template(title or TITLE), Template(body or BODY)

    def title(self, telling: Telling) -> str:
        """One line."""
        if telling.summary:
            return f"{len(telling.changes) + telling.left_out} alerts at once: {worst(telling.changes)} at most"
        text = self._title.substitute(_fields(telling.changes[0], telling.repeat))
        return " ".join(text.split())[:200]

    def body(self, telling: Telling) -> str:
        """What is said of each, with an empty line between."""
        told = [self._body.substitute(_fields(change, telling.repeat)).rstrip() for change in telling.changes]
        if telling.left_out:
            told.append(f"and {telling.left_out} more: streamgauge alerts list")
        return "\n\n".join(told) + "\n"


def _fields(change: Change, repeat: int) -> Mapping[str, object]:
    status = "resolved" if change.state == "resolved" else f"still {change.severity}" if repeat else change.severity
    more = {
        "status": status,
        "labels": ", ".join(f"{name}: {label}" for name, label in change.labels.items()) or "no labels",
        "since": change.started_at + (f" until {change.ended_at}" if change.ended_at else ""),
        "ended_at": change.ended_at or "",
    }
    return {name: more[name] if name in more else getattr(change, name) for name in FIELDS}
