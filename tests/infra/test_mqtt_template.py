"""What the levels of a topic say."""

import pytest

from infra.mqtt.errors import MqttFailure
from infra.mqtt.template import TopicTemplate, check_filter


@pytest.mark.parametrize(
    ("template", "topic", "fields"),
    [
        ("sensors/{sensor_id}/data", "sensors/pump-7/data", {"sensor_id": "pump-7"}),
        ("sensors/{sensor_id}/data", "sensors/pump-7/state", None),
        ("sensors/{sensor_id}/data", "sensors/a/b/data", None),
        ("sensors/{sensor_id}/data", "sensors//data", None),
        ("sensors/{sensor_id}/data", "sensors/pump-7/data/", None),
        ("+/{location}/{sensor_id}", "x/hall/p", {"location": "hall", "sensor_id": "p"}),
        ("plant/{location}/#", "plant/hall/a/b", {"location": "hall"}),
        ("plant/{location}/#", "plant", None),
        ("plant/data", "plant/data", {}),
        (
            "/{sensor_type}/{unit}/{asset_id}",
            "/co2/ppm/room",
            {"sensor_type": "co2", "unit": "ppm", "asset_id": "room"},
        ),
    ],
)
def test_a_topic_says_its_fields_or_is_not_of_the_form(
    template: str, topic: str, fields: dict[str, str] | None
) -> None:
    assert TopicTemplate(template).fields(topic) == fields


def test_its_filter_takes_what_is_of_the_form() -> None:
    assert TopicTemplate("plant/{location}/+/{sensor_id}/#").filter == "plant/+/+/+/#"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("sensors/{sensor}/data", r"\{sensor\}: no such field; there are sensor_id, "),
        ("sensors/x-{sensor_id}", "takes a whole level"),
        ("sensors/#/data", "# comes last"),
        ("{sensor_id}/{sensor_id}", "a field twice"),
        ("a/b+", "whole level"),
    ],
)
def test_a_mistake_is_told(template: str, why: str) -> None:
    with pytest.raises(MqttFailure, match=rf"mqtt\.template = .*{why}"):
        TopicTemplate(template)


def test_where_a_sensor_publishes() -> None:
    assert TopicTemplate("sensors/{sensor_id}/data").topic("pump-7") == "sensors/pump-7/data"
    with pytest.raises(MqttFailure, match=r"sensor_id 'a/b': / \+ # have a meaning"):
        TopicTemplate("sensors/{sensor_id}/data").topic("a/b")
    with pytest.raises(MqttFailure, match="no other field or wildcard"):
        TopicTemplate("{location}/{sensor_id}").topic("pump-7")


def test_what_is_no_filter_is_told() -> None:
    for right in ("a/+/b", "#", "+", "a/b/#", "/", "$share-not/a"):
        check_filter(right)
    for wrong in ("", "a/#/b", "a+/b", "a/b#"):
        with pytest.raises(MqttFailure, match=r"mqtt\.topics: .* is no topic filter"):
            check_filter(wrong)
