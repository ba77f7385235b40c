"""What an alert rule is, and the sequence by which a condition becomes an episode.

condition   - - # # # - # # - - - - -
episode           |---for---|firing.......|keep firing|      then cool-down
told                        open                      resolved, ended where the condition did
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from operators.batches import Series

Severity = Literal["info", "warning", "critical"]
GroupBy = Literal["none", "asset_id", "location", "sensor_type"]
Condition = Literal["score", "is_anomaly", "detector", "value", "stuck", "silent", "window", "asset"]

_AFTER_WINDOWS: tuple[Condition, ...] = ("window", "asset")
"""The others are judged reading by reading, or by silence, in the sensor step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Shell patterns for labels, such as "hall-*"; None for any."""

    sensor_id: str | None = None
    sensor_type: str | None = None
    location: str | None = None

    def fits(self, sensor_id: str, sensor_type: str, location: str) -> bool:
        """Whether all patterns fit."""
        pairs = ((self.sensor_id, sensor_id), (self.sensor_type, sensor_type), (self.location, location))
        return all(pattern is None or fnmatchcase(label, pattern) for pattern, label in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One rule.

    on: what it looks at; of: the detector's or the window's name; column: the window's column.
    above, below: level from which it fires; neither: a yes or no decides. clear: level at which it is over.
    for_ms: the condition holds so long before it fires. keep_ms: it is over when the condition has not held for so
        long. cool_down_ms: after its end no other one begins for so long.
    group_by: not "none" for one alert on a group when at least min_sensors, and a share of min_share of those known
        there, are in alarm; one counts for keep_ms after its condition.
    inhibits: names of rules whose alerts, of the sensors this one is about, are not told while it lasts.
    """

    name: str
    on: Condition
    of: str = ""
    column: str = ""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    for_ms: int = 0
    keep_ms: int = 0
    cool_down_ms: int = 0
    severity: Severity = "warning"
    match: Match = Match()
    group_by: GroupBy = "none"
    min_sensors: int = 1
    min_share: float = 0.0
    inhibits: tuple[str, ...] = ()

    @property
    def of_sensors(self) -> bool:
        """Whether its condition is one of single sensors."""
        return self.on not in _AFTER_WINDOWS

    @property
    def key(self) -> str:
        """What its state is kept under: a rule that looks at something else begins afresh."""
        return "\0".join((self.name, self.on, self.of, self.column, self.group_by))

    @property
    def grouped(self) -> bool:
        """Whether its alerts are about groups of sensors."""
        return self.group_by != "none"

    @property
    def sign(self) -> float:
        """1 when it fires above its level, -1 below."""
        return -1.0 if self.below is not None else 1.0

    @property
    def levels(self) -> tuple[float, float]:
        """Where it fires, where it stays; each times `sign` is a least measure. Of a yes or no, 1 or 0: half."""
        level = self.below if self.below is not None else self.above
        if level is None:
            return 0.5, 0.5
        return level * self.sign, (level if self.clear is None else self.clear) * self.sign

    @property
    def chooses(self) -> bool:
        """Whether there may be series that it is not about."""
        return self.grouped or self.match != Match()

    def fits(self, series: Series) -> bool:
        """Whether it is about this series."""
        grouped = not self.grouped or bool(self.group_of(series))
        return grouped and self.match.fits(series.sensor_id, series.sensor_type, series.location)

    def group_of(self, series: Series) -> str:
        """The group a series belongs to; "" for none."""
        return "" if self.group_by == "none" else str(getattr(series, self.group_by))


OFF, PENDING, FIRING = range(3)
"""Phases of an episode."""
NEVER = -(1 << 62)


@dataclass(slots=True)
class Phase:
    """Where one condition stands that is looked at in order of time. start_ms, calm_ms: of its episode and its end."""

    phase: int = OFF
    start_ms: int = NEVER
    calm_ms: int = NEVER
    cool_ms: int = NEVER

    def step(self, rule: AlertRule, begin_ms: int, end_ms: int, *, hot: bool) -> Literal["", "open", "resolved"]:
        """The condition holds, or not, from begin_ms to end_ms; what is to be told by that."""
        if self.phase == OFF:
            if not hot or begin_ms < self.cool_ms:
                return ""
            self.phase, self.start_ms, self.calm_ms = PENDING, begin_ms, NEVER
        if self.phase == PENDING:
            if not hot:
                self.phase = OFF
            elif end_ms - self.start_ms >= rule.for_ms:
                self.phase = FIRING
                return "open"
            return ""
        if hot:
            self.calm_ms = NEVER
            return ""
        if self.calm_ms == NEVER:
            self.calm_ms = begin_ms
        if end_ms - self.calm_ms < rule.keep_ms:
            return ""
        self.phase, self.cool_ms = OFF, self.calm_ms + rule.cool_down_ms
        return "resolved"

    def state(self) -> tuple[int, int, int, int]:
        """Plain values."""
        return (self.phase, self.start_ms, self.calm_ms, self.cool_ms)


def sensor_rules(rules: Sequence[AlertRule]) -> tuple[AlertRule, ...]:
    """Those judged in the sensor step; readings before silence."""
    return tuple(sorted((one for one in rules if one.of_sensors), key=lambda one: one.on == "silent"))
