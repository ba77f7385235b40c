"""When somebody is to be told: the sections `[[alerts]]` of `flows.settings.Settings`."""

import re
from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Duration, Name, Section
from operators.alert_rules import AlertRule, Condition, GroupBy, Match

_GROUP_BY: dict[str, GroupBy] = {
    "none": "none",
    "asset": "asset_id",
    "location": "location",
    "type": "sensor_type",
}
_BARE: tuple[Condition, ...] = ("score", "is_anomaly", "value", "stuck", "silent", "asset")
_YES_OR_NO = ("is_anomaly", "stuck", "silent")
_NUMBERS = ("score", "value", "window")
_WITH_A_NAME = re.compile(r"window:(?P<name>.+)\.(?P<column>\w+)|detector:(?P<detector>.+)")

_AT_ONCE = Duration(0)


class AlertMatch(Section, frozen=True):
    """Which sensors, windows or groups a rule is about: shell patterns for labels, such as "hall-*"."""

    sensor_id: str | None = None
    sensor_type: str | None = None
    location: str | None = None


class Alert(Section, frozen=True):
    """A rule for alerts.

    on: score, is_anomaly, value, stuck, silent, detector:NAME, asset, or window:NAME.column.
    above, below: the level at which it fires; without one a detector's flag, or an asset's verdict, decides.
    clear: the level at which it is over, on the other side of that; the same when left out.
    for: how long the condition must hold. keep_firing_for: it is over when the condition has not held for so long.
    cool_down: so long after its end no other alert of this rule and sensor (or window, asset, group) begins.
    match: which sensors (or windows, assets) it is about.
    group_by: one alert for a location, type or asset in which at least min_sensors, and a share of min_share of the
        sensors known there, meet the condition, each for keep_firing_for after it last did.
    inhibits: names of rules whose alerts on the same sensors are not told while this one is open.
    """

    name: Name
    on: str
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    for_: Duration = msgspec.field(default=_AT_ONCE, name="for")
    keep_firing_for: Duration = _AT_ONCE
    cool_down: Duration = _AT_ONCE
    severity: Literal["info", "warning", "critical"] = "warning"
    match: AlertMatch = AlertMatch()
    group_by: Literal["none", "asset", "location", "type"] = "none"
    min_sensors: Count = 2
    min_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    inhibits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind = self.rule.on
        if self.above is not None and self.below is not None:
            raise ValueError(f"alert {self.name!r}: has above and below: make two rules of it")
        level = self.above if self.below is None else self.below
        if level is None and kind in _NUMBERS:
            raise ValueError(f"alert {self.name!r}: on = {self.on!r} needs a level: above = ... or below = ...")
        if level is not None and kind in _YES_OR_NO:
            raise ValueError(f"alert {self.name!r}: on = {self.on!r} is a yes or no: it takes neither above nor below")
        if self.clear is not None and (level is None or (self.clear - level) * self.rule.sign > 0):
            raise ValueError(
                f"alert {self.name!r}: clear = {self.clear:g}: must lie on the calm side of the level it fires at"
            )
        if self.group_by != "none" and not self.rule.of_sensors:
            raise ValueError(f"alert {self.name!r}: group_by is for conditions of sensors, on = {self.on!r} is none")

    @property
    def rule(self) -> AlertRule:
        """As operators know it. Raises ValueError for an `on` there is not."""
        on, of, column = _condition(self.on)
        return AlertRule(
            name=self.name,
            on=on,
            of=of,
            column=column,
            above=self.above,
            below=self.below,
            clear=self.clear,
            for_ms=self.for_.ms,
            keep_ms=self.keep_firing_for.ms,
            cool_down_ms=self.cool_down.ms,
            severity=self.severity,
            match=Match(
                sensor_id=self.match.sensor_id, sensor_type=self.match.sensor_type, location=self.match.location
            ),
            group_by=_GROUP_BY[self.group_by],
            min_sensors=self.min_sensors if self.group_by != "none" else 1,
            min_share=self.min_share,
            inhibits=self.inhibits,
        )


def _condition(text: str) -> tuple[Condition, str, str]:
    for bare in _BARE:
        if text == bare:
            return bare, "", ""
    if match := _WITH_A_NAME.fullmatch(text):
        if match["detector"]:
            return "detector", match["detector"], ""
        return "window", match["name"], match["column"]
    raise ValueError(f"on = {text!r}: one of {', '.join(_BARE)}, detector:NAME, window:NAME.COLUMN")


_MINUTE = 60_000
DEFAULT_ALERTS = (
    Alert(name="anomaly", on="is_anomaly", keep_firing_for=Duration(5 * _MINUTE)),
    Alert(name="silent", on="silent", for_=Duration(_MINUTE)),
    Alert(
        name="anomalies in a location",
        on="is_anomaly",
        keep_firing_for=Duration(_MINUTE),
        cool_down=Duration(5 * _MINUTE),
        severity="critical",
        group_by="location",
        min_sensors=3,
        min_share=0.5,
        inhibits=("anomaly",),
    ),
    Alert(
        name="silence in a location",
        on="silent",
        for_=Duration(_MINUTE),
        severity="critical",
        group_by="location",
        min_sensors=3,
        min_share=0.5,
        inhibits=("silent",),
    ),
    Alert(
        name="asset",
        on="asset",
        keep_firing_for=Duration(5 * _MINUTE),
        severity="critical",
        inhibits=("anomaly",),
    ),
)


def mistake(alerts: tuple[Alert, ...], *, windows: tuple[str, ...], detectors: tuple[str, ...]) -> str:
    """What is wrong with the alerts beside the rest of the configuration, in a line; "" for nothing."""
    names = [one.name for one in alerts]
    for one in alerts:
        if names.count(one.name) > 1:
            return f"alerts.name = {one.name!r}: given twice; each alert needs a name of its own"
        rule = one.rule
        if rule.on == "detector" and rule.of not in detectors:
            return f"alerts {one.name!r}: on = {one.on!r}: no such detector; there are {', '.join(detectors)}"
        if rule.on == "window" and rule.of not in windows:
            return f"alerts {one.name!r}: on = {one.on!r}: no such window; there are {', '.join(windows)}"
        for other in one.inhibits:
            if other == one.name or other not in names:
                return f"alerts {one.name!r}: inhibits = {other!r}: no other alert has that name"
    return ""
