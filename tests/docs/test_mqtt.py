"""The configurations in docs/mqtt.md are such."""

import re
from pathlib import Path

import pytest

from flows.configuration import load
from flows.ingest_mqtt import filters, mqtt_place
from infra.mqtt.payload import Unfit, prepare
from infra.mqtt.template import TopicTemplate

PAGE = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_a_configuration_loads(tmp_path: Path, text: str) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(file, {})
    place = mqtt_place(settings.mqtt)
    assert place.host
    assert (place.port == 8883) == settings.mqtt.url.startswith("mqtts")
    assert filters(settings.mqtt)


def test_the_example_of_a_template_is_right(tmp_path: Path) -> None:
    payload, topic = re.findall(r"Then `(.*?)` on `(.*?)` is a whole reading", PAGE)[0]
    file = tmp_path / "streamgauge.toml"
    file.write_text(BLOCKS[0], encoding="utf-8")
    [(key, value)], unfit = prepare(topic, payload.encode(), TopicTemplate(load(file, {}).mqtt.template))
    assert (key, unfit) == (b"pump-7", None)
    assert value.endswith(b'"location":"hall-2","sensor_type":"temperature","sensor_id":"pump-7"}')


def test_every_reason_is_told() -> None:
    told = set(re.findall(r"\| `(\w+)` \|$", PAGE, re.MULTILINE))
    assert told == set(Unfit.__args__)  # type: ignore[attr-defined]
