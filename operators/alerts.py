"""Alerts of window shards: on windows, on assets, and on groups of sensors, each in order of event time.

    windows that closed, ticks of assets that were judged --> one condition per rule and group, row by row
    news of sensors, up to the smallest watermark ----------> how many of a group are in alarm

So what is told depends on the partitions' contents only, as windows do, and not on who spoke first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np

from operators.alert_news import Census, News
from operators.alert_rows import Alert, alert_rows, clock_text, condition_text, length_text
from operators.alert_rules import NEVER, OFF, PENDING, AlertRule, Phase
from operators.batches import Rows
from operators.row_alerts import RowAlerts

STATE_VERSION = 1

_NAMED = 20
"""So many sensors of a group are named in the evidence."""


@dataclass(slots=True)
class _Group:
    """One group under one rule.

    known: how many sensors are known there. alarmed: those in alarm. members: those that were during this episode.
    most: of them at one time.
    """

    phase: Phase = field(default_factory=Phase)
    known: int = 0
    alarmed: dict[tuple[str, str], News] = field(default_factory=dict)
    members: dict[tuple[str, str], News] = field(default_factory=dict)
    most: int = 0
    fired_ms: int = NEVER

    def state(self) -> tuple[Any, ...]:
        """Plain values."""
        alarmed, members = (tuple(tuple(one) for one in some.values()) for some in (self.alarmed, self.members))
        return (self.phase.state(), self.known, alarmed, members, self.most, self.fired_ms)

    @staticmethod
    def of_state(state: tuple[Any, ...]) -> "_Group":
        phase, known, alarmed, members, most, fired_ms = state
        told = [{(one := News(*stored)).who: one for stored in some} for some in (alarmed, members)]
        return _Group(Phase(*phase), known, told[0], told[1], most, fired_ms)


class AlertShard:
    """The alerts on the windows, assets and groups that hash to one window shard.

    rules: all there are. pane_ms: groups are judged at the ends of panes, for only up to there a watermark that comes
        this far says the same whoever sends it.
    """

    def __init__(self, rules: Sequence[AlertRule], *, pane_ms: int = 1, generation: int = 0) -> None:
        self._pane_ms = pane_ms
        # To keep firing is a matter of each sensor: one counts for so long.
        self._rules = {rule.key: replace(rule, keep_ms=0) for rule in rules if rule.of_sensors and rule.grouped}
        self._of_rows = RowAlerts([rule for rule in rules if not rule.of_sensors])
        self._generation = generation
        self._held: list[Census | News] = []
        self._groups: dict[tuple[str, str], _Group] = {}
        self._timed: set[tuple[str, str]] = set()
        self._done_ms = NEVER

    def add(self, news: Iterable[Census | News]) -> None:
        """Keep what sensor shards tell."""
        self._held += [one for one in news if one.rule in self._rules]

    def judge(self, rows: Sequence[Rows], watermark_ms: int | None) -> list[Rows]:
        """What is to be told up to the watermark, all for None. rows: windows and asset verdicts that are new by it."""
        alerts = self._of_rows.judge(rows)
        # At the end of the input nothing comes about by time alone.
        until_ms = self._done_ms if watermark_ms is None else watermark_ms // self._pane_ms * self._pane_ms
        due, self._held = (self._held, []) if watermark_ms is None else _split(self._held, until_ms)
        changed: dict[tuple[str, str], list[Census | News]] = {key: [] for key in self._timed}
        for one in due:
            changed.setdefault((one.rule, one.group), []).append(one)
        for key in sorted(changed):
            alerts += self._move_on(key, changed[key], until_ms)
        self._done_ms = max(self._done_ms, until_ms)
        return alert_rows(alerts, self._generation)

    def _move_on(self, key: tuple[str, str], news: list[Census | News], until_ms: int) -> list[Alert]:
        group, rule = self._groups.setdefault(key, _Group()), self._rules[key[0]]
        alerts: list[Alert] = []
        # By time, then by name: in whatever order the shards spoke.
        for at_ms, some in groupby(sorted(news, key=_order), key=lambda one: one.at_ms):
            now_ms = max(at_ms, self._done_ms)
            alerts += self._wait(rule, key[1], group, now_ms)
            for one in some:
                _take(group, one)
            alerts += self._look(rule, key[1], group, now_ms)
        alerts += self._wait(rule, key[1], group, until_ms)
        waits = group.phase.phase == PENDING or (group.phase.phase == OFF and _hot(rule, group))
        (self._timed.add if waits else self._timed.discard)(key)
        if not group.known and not group.alarmed and group.phase.phase == OFF:
            del self._groups[key]
        return alerts

    def _wait(self, rule: AlertRule, name: str, group: _Group, until_ms: int) -> list[Alert]:
        """What comes about by time alone before until_ms: a cool-down ends, `for` has lasted."""
        phase, alerts = group.phase, []
        if phase.phase == OFF and NEVER < phase.cool_ms < until_ms and _hot(rule, group):
            alerts += self._look(rule, name, group, phase.cool_ms)
        if phase.phase == PENDING and phase.start_ms + rule.for_ms < until_ms:
            alerts += self._look(rule, name, group, phase.start_ms + rule.for_ms)
        return alerts

    def _look(self, rule: AlertRule, name: str, group: _Group, at_ms: int) -> list[Alert]:
        """Judge the group as it is at that time."""
        phase = group.phase
        was = phase.phase
        told = phase.step(rule, at_ms, at_ms, hot=_hot(rule, group))
        if was == OFF and phase.phase != OFF:
            group.members, group.most = {}, 0
        if phase.phase != OFF:
            group.members |= group.alarmed
            group.most = max(group.most, len(group.alarmed))
        if told == "open":
            group.fired_ms = at_ms
            return [_alert(rule, name, group, at_ms, None)]
        return [_alert(rule, name, group, at_ms, phase.calm_ms)] if told == "resolved" else []

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes, roughly."""
        return 200 * (len(self._held) + sum(len(group.members) for group in self._groups.values()))

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        held = tuple((isinstance(one, Census), tuple(one)) for one in self._held)
        groups = tuple((key, group.state()) for key, group in self._groups.items())
        return (STATE_VERSION, self._done_ms, held, groups, tuple(self._timed), self._of_rows.snapshot())

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. What belongs to a rule that is configured no more is dropped."""
        _, self._done_ms, held, groups, timed, of_rows = state
        self.add(Census(*one) if counts else News(*one) for counts, one in held)
        self._groups = {key: _Group.of_state(stored) for key, stored in groups if key[0] in self._rules}
        self._timed = {key for key in timed if key in self._groups}
        self._of_rows.load(of_rows)


def _split(news: Sequence[Census | News], until_ms: int) -> tuple[list[Census | News], list[Census | News]]:
    """Before that time, and the others."""
    return [one for one in news if one.at_ms < until_ms], [one for one in news if one.at_ms >= until_ms]


def _order(one: Census | News) -> tuple[int, bool, tuple[str, str], bool]:
    """By time; of a sensor that was in alarm for no time at all, the end last."""
    if isinstance(one, Census):
        return (one.at_ms, False, ("", ""), False)
    return (one.at_ms, True, one.who, not one.in_alarm)


def _take(group: _Group, one: Census | News) -> None:
    if isinstance(one, Census):
        group.known += one.change
    elif one.in_alarm:
        group.alarmed[one.who] = one
    else:
        group.alarmed.pop(one.who, None)


def _hot(rule: AlertRule, group: _Group) -> bool:
    count = len(group.alarmed)
    return group.known > 0 and count >= max(rule.min_sensors, rule.min_share * group.known)


def _alert(rule: AlertRule, name: str, group: _Group, at_ms: int, ended_ms: int | None) -> Alert:
    start_ms, members = group.phase.start_ms, sorted(group.members.values(), key=lambda one: one.who)
    kind = {"location": "location", "asset_id": "asset", "sensor_type": "type"}[rule.group_by]
    sensors = [{"sensor_id": one.sensor_id, "since": one.since_ms, **one.evidence} for one in members[:_NAMED]]
    reason = f"{kind} {name}: {len(members)} of {group.known} sensors with {condition_text(rule)}"
    reason += f" since {clock_text(start_ms)}"
    if ended_ms is not None:
        reason += f"; over after {length_text(ended_ms - start_ms)}"
    scores = [one.score for one in members if not np.isnan(one.score)]
    return Alert(
        rule=rule.name,
        severity=rule.severity,
        labels={rule.group_by: name},
        named_by=(rule.group_by, name),
        started_ms=start_ms,
        fired_ms=group.fired_ms,
        updated_ms=at_ms,
        ended_ms=ended_ms,
        peak_score=max(scores, default=np.nan),
        sensors=len(members),
        inhibits=rule.inhibits,
        reason=reason,
        evidence={"known": group.known, "in_alarm": len(group.alarmed), "most": group.most, "sensors": sensors},
    )
