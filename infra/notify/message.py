"""What travels: a change of an alert as it came from the topic, and what a channel is asked to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

LABELS = ("sensor_id", "sensor_type", "location", "asset_id")
SEVERITIES = ("info", "warning", "critical")
"""From least to most."""


class Change(msgspec.Struct, frozen=True):
    """A message of the topic of alerts, see infra/kafka/alerts.py. Times are RFC 3339 in UTC."""

    alert_id: str
    state: str
    rule: str
    severity: str
    started_at: str
    updated_at: str
    ended_at: str | None = None
    sensor_id: str = ""
    sensor_type: str = ""
    location: str = ""
    asset_id: str = ""
    source: str = "flow"
    sensors: int = 1
    inhibits: tuple[str, ...] = ()
    reason: str = ""
    evidence: dict[str, Any] = {}

    @property
    def labels(self) -> dict[str, str]:
        """Those that say something."""
        return {name: label for name in LABELS if (label := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Telling:
    """Changes to be told at once.

    summary: more than a channel tells one by one; left_out: not even among them. repeat: how often it was told before.
    """

    changes: Sequence[Change]
    summary: bool = False
    left_out: int = 0
    repeat: int = 0

    @property
    def key(self) -> str:
        """The same whenever the same is tried again."""
        first = self.changes[0]
        more = f".{len(self.changes)}" if len(self.changes) > 1 else ""
        return f"{first.alert_id}.{first.state}{more}" + (f".again{self.repeat}" if self.repeat else "")


class NotTold(Exception):
    """A channel could not tell. lasting: trying again is of no use. after_s: when to, as the other side wants it."""

    def __init__(self, message: str, *, lasting: bool = False, after_s: float | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.after_s = after_s


def worst(changes: Sequence[Change]) -> str:
    """The largest severity."""
    return max((one.severity for one in changes), key=rank, default="info")


def rank(severity: str) -> int:
    """Its place, 0 for the least and for what is not known."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


def inhibits(other: Change, change: Change) -> bool:
    """Whether an open alert spares telling of another one: it names its rule, and has no other labels."""
    ours: Mapping[str, str] = change.labels
    same = all(ours.get(name) == label for name, label in other.labels.items())
    return other.alert_id != change.alert_id and change.rule in other.inhibits and same
