"""The configuration in docs/edge.md is one, and what it says of settings is so."""

import re
from pathlib import Path

from flows import edge
from flows.configuration import load
from flows.edge_device import Device

PAGE = (Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")


def test_the_configuration_loads_and_forwards_what_it_says(tmp_path: Path) -> None:
    ((text),) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "streamgauge.toml"
    file.write_text(f'data_dir = "{tmp_path}"\n{text}', encoding="utf-8")
    settings = load(file, {})
    names = edge.topics(settings)
    topics = re.findall(r"device-7\.sensors\.\w+", PAGE)
    assert [settings.edge.prefix + names[kind] for kind in edge.forwarded(settings)] == topics
    story = "\n".join(Device(file, settings, store=False).story())
    for topic in ("sensors/{sensor_id}/data", "verdicts/{sensor_id}", "alerts/{sensor_id}/notification"):
        assert f"| `{topic}` |" in PAGE
        assert topic in story
