"""docs/notify.md does what it says: the configuration loads, the names in templates are those there are."""

import re
from pathlib import Path

from flows.configuration import load
from infra.notify.text import FIELDS, TITLE

PAGE = (Path(__file__).parents[2] / "docs" / "notify.md").read_text(encoding="utf-8")


def test_the_configuration_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name in re.findall(r'"/run/secrets/(\w+)"', text):
        (tmp_path / name).write_text("slack://TokenA/TokenB/TokenC/#plant")
    file = tmp_path / "streamgauge.toml"
    file.write_text(text.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    channels = load(file, {}).notify.channels
    assert [one.name for one in channels] == ["on-call", "plant", "chat", "floor"]
    assert str(channels[2].apprise).startswith("slack://")
    env = re.findall(r"STREAMGAUGE_NOTIFY__CHANNELS='(.*)'`", PAGE)[0]
    assert load(None, {"STREAMGAUGE_NOTIFY__CHANNELS": env}).notify.channels[0].name == "chat"


def test_names_in_templates_are_all_told() -> None:
    told = re.findall(r"\*\*Words\.\*\*.*?\n\n", PAGE, re.DOTALL)[0]
    assert set(re.findall(r"`\$(\w+)`", told)) - {"name"} == set(FIELDS)
    assert f"`{TITLE}`" in told
