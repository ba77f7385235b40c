"""From an MQTT message to Kafka messages: keyed by sensor, filled from the topic, nothing lost."""

import json

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.mqtt.payload import Outgoing, prepare
from infra.mqtt.template import TopicTemplate
from operators.records import Reading

TEMPLATE = TopicTemplate("plant/{location}/{sensor_id}")
TOPIC = "plant/hall-2/pump-7"
ELSEWHERE = "elsewhere/pump-7"


def prepared(payload: bytes, topic: str = TOPIC) -> tuple[list[tuple[bytes, object]], str | None]:
    """Keys and decoded values, and what was unfit."""
    messages, unfit = prepare(topic, payload, TEMPLATE)
    return [(key, json.loads(value)) for key, value in messages], unfit


def test_the_topic_fills_what_the_payload_does_not_say() -> None:
    assert prepared(b'{"value": 21.5, "timestamp": 1}') == (
        [(b"pump-7", {"value": 21.5, "timestamp": 1, "sensor_id": "pump-7", "location": "hall-2"})],
        None,
    )


def test_the_payload_goes_before_the_topic() -> None:
    payload = b'{"sensor_id": "mine", "location": "here", "value": 1, "timestamp": 1}'
    assert prepare(TOPIC, payload, TEMPLATE) == ([Outgoing(b"mine", payload)], None), "and to the byte"


@pytest.mark.parametrize("nothing", ["null", '""'])
def test_null_and_empty_text_say_nothing(nothing: str) -> None:
    payload = f'{{"sensor_id": {nothing}, "location": "here", "value": 1e400, "timestamp": 1}}'.encode()
    [(key, value)], unfit = prepare(TOPIC, payload, TEMPLATE)
    assert (key, unfit) == (b"pump-7", None)
    assert value == b'{"sensor_id":"pump-7","location":"here","value":1e400,"timestamp":1}', "other fields as they were"


def test_the_readings_of_an_array_go_their_own_ways_in_order() -> None:
    payload = b'[{"value": 1}, {"sensor_id": "b", "value": 2}, 7, {"value": 3}, {"sensor_id": "b", "value": 4}]'

    def row(sensor_id: str, value: int) -> dict[str, object]:
        return {"value": value, "sensor_id": sensor_id, "location": "hall-2"}

    assert prepared(payload) == (
        [
            (b"pump-7", 7),
            (b"pump-7", [row("pump-7", 1), row("pump-7", 3)]),
            (b"b", [row("b", 2), row("b", 4)]),
        ],
        "not_json",
    )


def test_the_readings_of_a_large_array_travel_in_several_messages() -> None:
    rows = [{"sensor_id": "a", "location": "x" * 100, "value": n, "timestamp": n} for n in range(20_000)]
    messages, unfit = prepare(TOPIC, json.dumps(rows).encode(), TEMPLATE)
    assert unfit is None
    assert {key for key, _ in messages} == {b"a"}
    assert max(len(value) for _, value in messages) < 300_000
    assert [row["value"] for _, value in messages for row in json.loads(value)] == list(range(20_000))


def test_ndjson_is_taken_line_by_line() -> None:
    payload = b'{"value": 1}\n{"sensor_id": "b", "value": 2}\n'
    assert [key for key, _ in prepare(TOPIC, payload, TEMPLATE).messages] == [b"pump-7", b"b"]


def test_arrow_passes_unchanged() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"sensor_id": ["a"], "value": [1.0], "timestamp": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue().to_pybytes()
    assert prepare(TOPIC, payload, TEMPLATE) == ([Outgoing(b"pump-7", payload)], None)


@pytest.mark.parametrize("payload", [b"hello", b"", b"21.5", b"[]", b'{"value": 1', b'{"location": 5}', b"\xff\x00"])
def test_what_cannot_be_filled_goes_on_as_it_is(payload: bytes) -> None:
    assert prepare(TOPIC, payload, TEMPLATE) == ([Outgoing(b"pump-7", payload)], "not_json")


def test_a_topic_of_another_form_is_no_harm_to_a_payload_that_says_its_sensor() -> None:
    payload = b'{"sensor_id": "a", "value": 1}'
    assert prepare(ELSEWHERE, payload, TEMPLATE) == ([Outgoing(b"a", payload)], None)


def test_without_a_sensor_it_goes_on_as_it_is_by_its_topic() -> None:
    payload = b'{"value": 1}'
    assert prepare(ELSEWHERE, payload, TEMPLATE) == ([Outgoing(ELSEWHERE.encode(), payload)], "no_sensor")


texts = st.text(max_size=8)
elements = st.one_of(
    st.fixed_dictionaries(
        {"value": st.floats(allow_nan=False, allow_infinity=False)},
        optional={"sensor_id": st.one_of(st.none(), texts), "location": texts, "timestamp": st.integers(0, 2**53)},
    ),
    st.integers(-10, 10),
    texts,
)


@given(st.lists(elements, min_size=2, max_size=12), st.sampled_from([TOPIC, ELSEWHERE]))
def test_every_element_arrives_once_whatever_its_neighbours_are(rows: list[object], topic: str) -> None:
    messages, _ = prepare(topic, json.dumps(rows).encode(), TEMPLATE)
    arrived = []
    for key, value in messages:
        decoded = json.loads(value)
        for one in decoded if isinstance(decoded, list) else [decoded]:
            arrived.append(one["value"] if isinstance(one, dict) else one)
            if isinstance(one, dict) and one.get("sensor_id"):
                assert key == one["sensor_id"].encode()
    sent = [row["value"] if isinstance(row, dict) else row for row in rows]
    assert sorted(map(repr, arrived)) == sorted(map(repr, sent))


@given(st.binary(max_size=60))
def test_no_payload_raises_or_vanishes(payload: bytes) -> None:
    assert prepare(TOPIC, payload, TEMPLATE).messages


def test_what_is_filled_is_a_reading() -> None:
    [(_, value)], _ = prepare(TOPIC, b'{"value": 21.5, "timestamp": 1, "attributes": {"a": [1, 2]}}', TEMPLATE)
    reading = msgspec.json.decode(value, type=Reading)
    assert (reading.sensor_id, reading.location, bytes(reading.attributes)) == ("pump-7", "hall-2", b'{"a": [1, 2]}')
