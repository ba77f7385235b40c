"""Rules for alerts in the configuration."""

from pathlib import Path

import pytest

from flows.configuration import load, sources
from flows.parts import alert_rules
from flows.settings import Settings, SettingsError
from flows.settings_alerts import DEFAULT_ALERTS
from flows.settings_notify import Notify
from models.importing import KindError
from operators.alert_rules import AlertRule, Match


def settings_of(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "streamgauge.toml"
    file.write_text(text)
    return load(file, {})


def test_the_sample_shows_the_defaults() -> None:
    sample = load(Path("streamgauge.toml"), {})
    assert (sample.alerts, sample.notify) == (DEFAULT_ALERTS, Notify())


def test_the_channels_of_the_sample_can_be_used(tmp_path: Path) -> None:
    lines = Path("streamgauge.toml").read_text().splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("# [[notify.channels]]"))
    end = lines.index("[features]")
    text = "\n".join(line.removeprefix("# ").removeprefix("#") for line in lines[begin:end])
    settings = settings_of(tmp_path, text)
    channels = settings.notify.channels
    kinds = [[kind for kind in ("url", "host", "topic", "apprise") if getattr(one, kind)] for one in channels]
    assert kinds == [["url"], ["host"], ["topic"], ["apprise"]]


def test_a_rule_with_everything(tmp_path: Path) -> None:
    text = """
        [[alerts]]
        name = "too hot"
        on = "window:1m by sensor.p95"
        above = 90
        clear = 85
        for = "2m"
        keep_firing_for = "1m"
        cool_down = "10m"
        severity = "critical"
        match = { sensor_type = "temperature", sensor_id = "boiler-*" }
        inhibits = ["odd"]

        [[alerts]]
        name = "odd"
        on = "detector:forecast"
        group_by = "type"
    """
    hot, odd = alert_rules(settings_of(tmp_path, text), [])
    assert hot == AlertRule(
        name="too hot",
        on="window",
        of="1m by sensor",
        column="p95",
        above=90,
        clear=85,
        for_ms=120_000,
        keep_ms=60_000,
        cool_down_ms=600_000,
        severity="critical",
        match=Match(sensor_type="temperature", sensor_id="boiler-*"),
        inhibits=("odd",),
    )
    assert odd == AlertRule(name="odd", on="detector", of="forecast", group_by="sensor_type", min_sensors=2)
    shown = {one.name: one for one in sources(tmp_path / "streamgauge.toml", {})}
    assert "'for': 2m" in shown["alerts"].shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('on = "temperature"', "on = 'temperature': one of score, is_anomaly"),
        ('on = "value"', "needs a level: above = ... or below = ..."),
        ('on = "value"\nabove = 1\nbelow = 0', "has above and below"),
        ('on = "silent"\nabove = 1', "is a yes or no"),
        ('on = "value"\nabove = 1\nclear = 2', "calm side"),
        ('on = "value"\nbelow = 1\nclear = 0', "calm side"),
        ('on = "is_anomaly"\nclear = 0', "calm side"),
        ('on = "asset"\ngroup_by = "location"', "group_by is for conditions of sensors"),
        ('on = "is_anomaly"\nfor = 5', "expected a duration"),
        ('on = "is_anomaly"\nseverity = "bad"', "alerts[0].severity"),
        ('on = "detector:nobody"', "no such detector; there are z-score"),
        ('on = "window:nothing.mean"\nabove = 1', "no such window; there are 1m"),
        ('on = "is_anomaly"\ninhibits = ["other"]', "no other alert has that name"),
        ('on = "is_anomaly"\n[[alerts]]\nname = "a"\non = "silent"', "given twice"),
    ],
)
def test_mistakes_say_what_is_allowed(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(tmp_path, f'[[alerts]]\nname = "a"\n{text}\n')
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_window_without_such_a_column_is_told_at_start(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[[alerts]]\nname = "a"\non = "window:1m.range"\nabove = 1\n')
    assert [rule.column for rule in alert_rules(settings, ["range"])] == ["range"]
    with pytest.raises(KindError, match="windows have no column 'range'; there are count, mean"):
        alert_rules(settings, [])
