"""Rows of the table `alerts`: identity, version, and what people read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from operators.alert_rules import AlertRule, Severity
from operators.batches import ColumnData, Rows
from operators.records import VERSION_SHIFT

Evidence = dict[str, Any]
"""What is behind an alert: plain values, for JSON."""

_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert in one state. Times are event time, of health alerts the wall clock, epoch milliseconds.

    labels: what is known of sensor_id, sensor_type, location, asset_id. named_by: what it is about, see `alert_id`.
    fired_ms: when its `for` had passed. ended_ms: None while it is open. updated_ms: of the last change.
    sensors: how many it is about.
    """

    rule: str
    severity: Severity
    labels: Mapping[str, str]
    started_ms: int
    fired_ms: int
    updated_ms: int
    ended_ms: int | None = None
    named_by: tuple[str, ...] = ()
    peak_score: float = math.nan
    sensors: int = 1
    inhibits: tuple[str, ...] = ()
    reason: str = ""
    evidence: Evidence = field(default_factory=dict)
    source: Literal["flow", "health"] = "flow"

    @property
    def state(self) -> Literal["open", "resolved"]:
        """Resolved once it has ended."""
        return "open" if self.ended_ms is None else "resolved"


def fingerprint(rule: str, named_by: Sequence[str]) -> str:
    """16 hexadecimal digits for what an alert is about, the same for good."""
    return blake2b("\x1f".join((rule, *named_by)).encode(), digest_size=8).hexdigest()


def alert_id(rule: str, named_by: Sequence[str], started_ms: int) -> str:
    """Fingerprint and start: however often the flow comes by, it is the same alert."""
    return f"{fingerprint(rule, named_by)}-{started_ms}"


def version(alert: Alert, generation: int) -> int:
    """Of the rows of one alert the newest state wins; resolved before open, should both be of one instant."""
    return (generation << VERSION_SHIFT) + (max(alert.updated_ms - alert.started_ms, 0) << 1) + (alert.state != "open")


def alert_rows(alerts: Sequence[Alert], generation: int = 0) -> list[Rows]:
    """As rows of the table; none for none."""
    if not alerts:
        return []
    columns: dict[str, ColumnData] = {
        "alert_id": [alert_id(one.rule, one.named_by, one.started_ms) for one in alerts],
        "started_at": [one.started_ms for one in alerts],
        "generation": generation,
        "state": [one.state for one in alerts],
        "fired_at": [one.fired_ms for one in alerts],
        "ended_at": [one.ended_ms for one in alerts],
        "updated_at": [one.updated_ms for one in alerts],
        "version": [version(one, generation) for one in alerts],
        "source": [one.source for one in alerts],
        "severity": [one.severity for one in alerts],
        "rule": [one.rule for one in alerts],
        "sensors": [one.sensors for one in alerts],
        "peak_score": [one.peak_score for one in alerts],
        "inhibits": [list(one.inhibits) for one in alerts],
        "reason": [one.reason for one in alerts],
        "evidence": [msgspec.json.encode(one.evidence).decode() for one in alerts],
    }
    for name in ("sensor_id", "sensor_type", "location", "asset_id"):
        columns[name] = [one.labels.get(name, "") for one in alerts]
    return [Rows("alerts", len(alerts), columns)]


def known_numbers(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """By name, in few digits; unknown ones left out."""
    return {
        name: float(f"{value:.{_DIGITS}g}") for name, value in zip(names, values, strict=True) if math.isfinite(value)
    }


def clock_text(ms: int) -> str:
    """2026-11-25T08:00:03Z"""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def length_text(ms: int) -> str:
    """350 ms, 12 s, 4 min, 3.5 h"""
    if ms < 1_000:
        return f"{ms} ms"
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms >= 2 * unit_ms:
            return f"{ms / unit_ms:.3g} {unit}"
    return f"{ms / 1000:.3g} s"


def condition_text(rule: AlertRule) -> str:
    """anomaly, silent, value above 8"""
    if rule.on == "is_anomaly":
        return "anomaly"
    if rule.on in ("stuck", "silent"):
        return rule.on
    what = rule.of if rule.on == "detector" else rule.on
    level = rule.below if rule.below is not None else rule.above
    if level is None:
        return f"{what} flags it"
    return f"{what} {'below' if rule.below is not None else 'above'} {level:g}"
