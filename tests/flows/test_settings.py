"""Settings: the sample says the defaults, mistakes are one line, the environment goes before the file."""

from pathlib import Path

import pytest

from flows.configuration import load, sources
from flows.settings import Duration, Settings, SettingsError

ROOT = Path(__file__).parent.parent.parent


def test_the_sample_configuration_is_the_default() -> None:
    assert load(ROOT / "streamgauge.toml", {}) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka]\nbootstrp = 'x'", "kafka: Object contains unknown field `bootstrp`"),
        ("[event_time]\nlateness = 5", "event_time.lateness = 5: expected a duration with its unit"),
        ("[event_time]\nlateness = '5x'", "event_time.lateness = '5x': expected a duration"),
        ("[event_time]\nshards_per_partition = 0", "event_time.shards_per_partition = 0: Expected `int` >= 1"),
        ("[quality]\ndead_letter_share = 2", "quality.dead_letter_share = 2: Expected `float` <= 1.0"),
        ("[clickhouse]\nport = 70000", "clickhouse.port = 70000: Expected `int` <= 65535"),
        ("[clickhouse]\npassword = 5", "clickhouse.password = ***"),
        ("[[windows]]\nname = 'w'\nsize = '1m'\nby = ['colour']", "windows[0].by[0] = 'colour'"),
        ("[[windows]]\nname = 'w'\nsize = '1m'\nhop = '2m'", "hop = 2m: must be at most the size (1m)"),
        ("[[windows]]\nname = 'w'\nsize = '0s'", "size and hop must be longer than 0"),
        ("[[windows]]\nname = 'w'\nsize = '1m'\n[[windows]]\nname = 'w'\nsize = '2m'", "given twice"),
        ("[[detectors]]\nname = 'd'\nkind = 'x.Y'\nrole = 'boss'\nthreshold = 1", "detectors[0].role = 'boss'"),
        ("[[detectors]]\nname = 'd'\nkind = 'x.Y'\nrole = 'rule'", "detectors 'd': a rule needs a threshold"),
        ("[[detectors]]\nname = 'd'\nkind = 'x.Y'\nthreshold = 2", "threshold = 2: only a rule has one; a model is"),
        ("[[detectors]]\nname = 'range'\nkind = 'x.Y'", "detectors.name = 'range': is the name of a built-in rule"),
        ("[verdict]\nfalse_alarms_per_week = 0", "verdict.false_alarms_per_week = 0: Expected `float` > 0"),
        ("[worker]\nepoch = '1500ms'", "worker.epoch = '1500ms': must be whole seconds"),
        ("[kafka]\ntopics = []", "kafka.topics = []: name at least one topic"),
        ("[kafka", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as mistake:
        load(file, {})
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "none.toml", {})


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text("[kafka]\nbootstrap = 'file:1'\ngroup = 'of-the-file'\n")
    environment = {
        "STREAMGAUGE_KAFKA__BOOTSTRAP": "environment:2",
        "STREAMGAUGE_KAFKA__TOPICS": "a,b",
        "STREAMGAUGE_KAFKA__PASSWORD": "12345",
        "STREAMGAUGE_EVENT_TIME__LATENESS": "5s",
        "STREAMGAUGE_CLICKHOUSE__PORT": "8124",
        "STREAMGAUGE_CLICKHOUSE__SECURE": "true",
        "OTHER": "x",
    }
    settings = load(file, environment)
    assert settings.kafka.bootstrap == "environment:2"
    assert settings.kafka.group == "of-the-file"
    assert settings.kafka.topics == ("a", "b")
    assert settings.kafka.password == "12345"
    assert settings.event_time.lateness == Duration(5000)
    assert settings.clickhouse.port == 8124
    assert settings.clickhouse.secure is True


def test_sources_name_where_a_value_comes_from_and_hide_secrets(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text("[kafka]\ngroup = 'g'\n[[windows]]\nname = 'w'\nsize = '1m'\n")
    found = {s.name: s for s in sources(file, {"STREAMGAUGE_KAFKA__PASSWORD": "hunter2"})}
    assert found["kafka.group"].source == "file"
    assert found["kafka.bootstrap"].source == "default"
    assert found["kafka.password"].source == "environment"
    assert found["windows"].source == "file"
    assert not any("hunter2" in s.shown for s in found.values())


def test_a_secret_does_not_show_in_a_repr() -> None:
    settings = load(None, {"STREAMGAUGE_CLICKHOUSE__PASSWORD": "hunter2"})
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(("text", "ms"), [("500ms", 500), ("10s", 10_000), ("1.5m", 90_000), ("2h", 7_200_000)])
def test_durations(text: str, ms: int) -> None:
    assert Duration.parse(text) == ms
    assert Duration.parse(str(Duration(ms))) == ms
