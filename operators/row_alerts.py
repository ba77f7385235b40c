"""Alerts on rows that come one after the other: closed windows of a group, ticks of an asset.

What is compared is whole columns; only rows that fire, or whose group is not calm, cost Python anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from operators.alert_rows import Alert, Evidence, clock_text, known_numbers, length_text
from operators.alert_rules import NEVER, OFF, AlertRule, Phase
from operators.batches import Flags, Floats, Ints, Labels, Maps, Rows

STATE_VERSION = 1

_LABELS = ("sensor_type", "location", "asset_id", "unit", "sensor_id", "topic")

Key = tuple[str, tuple[str, ...]]
"""A rule's key, and what its group is called."""


@dataclass(slots=True)
class _Episode:
    """One condition of one group. peak: the largest measure, by its sign."""

    phase: Phase = field(default_factory=Phase)
    fired_ms: int = NEVER
    peak: float = -np.inf
    first_row: Evidence = field(default_factory=dict)
    peak_row: Evidence = field(default_factory=dict)

    def state(self) -> tuple[Any, ...]:
        """Plain values."""
        return (self.phase.state(), self.fired_ms, self.peak, self.first_row, self.peak_row)


class _Measured(NamedTuple):
    """Rows in order of their beginnings, with the measure times the rule's sign; NaN for unknown."""

    rows: Rows
    begin_ms: Ints
    end_ms: Ints
    measure: Floats


class RowAlerts:
    """rules: those on windows and assets."""

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        self._rules = {rule.key: rule for rule in rules}
        self._episodes: dict[Key, _Episode] = {}

    def judge(self, rows: Sequence[Rows]) -> list[Alert]:
        """What these rows, which follow those before, make of the alerts."""
        alerts: list[Alert] = []
        for rule in self._rules.values():
            for some in rows:
                if (measured := _measured(rule, some)) is not None:
                    alerts += self._pass(rule, measured)
        return alerts

    def _pass(self, rule: AlertRule, given: _Measured) -> list[Alert]:
        if not any(key == rule.key for key, _ in self._episodes) and not (given.measure >= rule.levels[0]).any():
            return []
        alerts = []
        for row in np.argsort(given.begin_ms, kind="stable").tolist():
            labels = _labels(given.rows, row)
            if rule.match.fits(*(labels.get(name, "") for name in ("sensor_id", "sensor_type", "location"))):
                name = tuple(f"{one}={label}" for one, label in labels.items())
                alerts += self._look(rule, name, labels, given, row)
        return alerts

    def _look(
        self, rule: AlertRule, name: tuple[str, ...], labels: Mapping[str, str], given: _Measured, row: int
    ) -> list[Alert]:
        key = (rule.key, name)
        episode = self._episodes.get(key) or _Episode()
        fire, stay = rule.levels
        was, measure = episode.phase.phase, float(given.measure[row])
        hot = measure >= (fire if was == OFF else stay)
        begin_ms, end_ms = int(given.begin_ms[row]), int(given.end_ms[row])
        told = episode.phase.step(rule, begin_ms, end_ms, hot=hot)
        now = episode.phase.phase
        if was == OFF and now != OFF:
            episode.first_row, episode.peak_row, episode.peak = _numbers(given.rows, row), {}, -np.inf
        if hot and now != OFF and measure > episode.peak:
            episode.peak, episode.peak_row = measure, _numbers(given.rows, row)
        if told == "open":
            episode.fired_ms = end_ms
        if now != OFF or rule.cool_down_ms:
            self._episodes[key] = episode
        else:
            self._episodes.pop(key, None)
        if not told:
            return []
        return [_alert(rule, name, labels, episode, end_ms, episode.phase.calm_ms if told == "resolved" else None)]

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        return (STATE_VERSION, tuple((key, one.state()) for key, one in self._episodes.items()))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. What belongs to a rule that is configured no more is dropped."""
        _, episodes = state
        for key, (phase, *rest) in episodes:
            if key[0] in self._rules:
                self._episodes[key] = _Episode(Phase(*phase), *rest)


def _measured(rule: AlertRule, rows: Rows) -> _Measured | None:
    """None when the rule is not about these rows."""
    columns: dict[str, Any] = rows.columns
    if rule.on == "asset" and rows.table == "asset_verdicts":
        yes_or_no = rule.above is None and rule.below is None
        measure = np.asarray(columns["is_anomaly" if yes_or_no else "score"], np.float64)
        begin_ms = columns["time"]
        return _Measured(rows, begin_ms, begin_ms + columns["tick_ms"], measure * rule.sign)
    if rule.on == "window" and rows.table == "windows" and columns["window"] == rule.of:
        measure = _column(columns, rule.column)
        # One the flow has not seen from its beginning says little.
        complete: Flags = columns["complete"]
        measure = np.where(complete, measure * rule.sign, np.nan)
        return _Measured(rows, columns["start"], columns["end"], measure)
    return None


def _column(columns: Mapping[str, Any], name: str) -> Floats:
    """A column of numbers of the windows, or an aggregate of one's own."""
    if name in columns:
        return np.asarray(columns[name], np.float64)
    extra: Maps = columns["extra"]
    return extra.values[:, extra.keys.index(name)]


def _labels(rows: Rows, row: int) -> dict[str, str]:
    columns: dict[str, Any] = rows.columns
    found = {}
    for name in _LABELS:
        data = columns.get(name)
        if data is not None:
            label = (
                data.values[data.codes[row]]
                if isinstance(data, Labels)
                else data
                if isinstance(data, str)
                else data[row]
            )
            if label:
                found[name] = str(label)
    return found


def _numbers(rows: Rows, row: int) -> Evidence:
    """The row as plain numbers; times are epoch milliseconds."""
    found: Evidence = {}
    for name, data in rows.columns.items():
        if isinstance(data, np.ndarray):
            value = data[row].item()
            if isinstance(value, float):
                found |= known_numbers([name], [value])
            else:
                found[name] = value
        elif isinstance(data, Maps):
            found[name] = known_numbers(data.keys, data.values[row].tolist())
        elif name == "shares" and isinstance(data, list):
            found[name] = known_numbers(list(data[row]), list(data[row].values()))
    return found


def _alert(
    rule: AlertRule,
    name: tuple[str, ...],
    labels: Mapping[str, str],
    episode: _Episode,
    at_ms: int,
    ended_ms: int | None,
) -> Alert:
    start_ms, peak = episode.phase.start_ms, episode.peak_row
    where = ", ".join(labels.values()) or "all"
    what = f"asset {where}: in alarm" if rule.on == "asset" else f"{where}: {rule.column} of window {rule.of}"
    level = rule.above if rule.below is None else rule.below
    if level is not None:
        what += f" {'above' if rule.below is None else 'below'} {level:g}"
    column = "score" if rule.on == "asset" else rule.column
    if column in peak:
        what += f" ({peak[column]:g})"
    shares = peak.get("shares") or {}
    if shares:
        what += f", most by {', '.join(list(shares)[:3])}"
    over = "" if ended_ms is None else f"; over after {length_text(ended_ms - start_ms)}"
    return Alert(
        rule=rule.name,
        severity=rule.severity,
        labels=labels,
        named_by=name,
        started_ms=start_ms,
        fired_ms=episode.fired_ms,
        updated_ms=at_ms,
        ended_ms=ended_ms,
        peak_score=float(peak.get("score", np.nan)),
        inhibits=rule.inhibits,
        sensors=int(peak.get("sensors", 1)),
        reason=f"{what} since {clock_text(start_ms)}{over}",
        evidence={"first": episode.first_row, "peak": peak},
    )
