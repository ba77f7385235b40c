"""Payloads that a schema registry frames: read by their schema, evolved by defaults, refused with a reason."""

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from operators.batches import Series
from operators.decode import Decoded, decode
from operators.framed import SchemaNotKnown, Schemas, SchemaText
from operators.registry import Registry
from operators.rejects import KEPT_BYTES, to_rows
from operators.series_codes import SeriesCodes
from tests.operators import schemas as made
from tests.operators.payloads import NOW_MS, messages, reading
from tests.operators.schemas import AVRO, GOOD, JSON, PROTOBUF, avro, framed, proto, proto_file, record


def known(**options: Any) -> Schemas:
    found = Schemas(**options)
    found.add(AVRO, made.avro_text())
    found.add(PROTOBUF, made.proto_text())
    found.add(JSON, made.json_text())
    return found


def decoded(*payloads: bytes | None, schemas: Schemas | None = None, codes: SeriesCodes | None = None) -> Decoded:
    return decode(
        messages(*payloads),
        SeriesCodes(Registry()) if codes is None else codes,
        max_payload_bytes=10_000,
        max_ahead_ms=60_000,
        schemas=schemas or known(),
    )


def refused(*payloads: bytes | None, schemas: Schemas | None = None) -> list[tuple[str, str]]:
    return [reject.fault for reject in decoded(*payloads, schemas=schemas).rejects]


def test_all_formats_beside_each_other_in_their_order() -> None:
    codes = SeriesCodes(Registry())
    more = GOOD | {"sensor_type": "co2", "location": "lab", "seq": 7, "attributes": {"rack": 4.0}}
    result = decoded(
        reading(value=0),
        avro(more | {"value": 1.0, "unit": "ppm", "label": "spike"}),
        proto(more | {"value": 2.0}),
        framed(JSON, reading(value=3, location="lab")),
        b"[" + reading(value=4) + b"," + reading(value=5) + b"]",
        proto(GOOD | {"value": 6.0}),
        codes=codes,
    )
    assert not result.rejects
    assert result.value.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert result.message.tolist() == [0, 1, 2, 3, 4, 4, 5]
    assert result.idx.tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert set(result.time_ms.tolist()) == {NOW_MS}
    series = [codes.series.values[code] for code in result.code]
    assert series[1:4] == [
        Series("s-1", "co2", "lab", "", "ppm"),
        Series("s-1", "co2", "lab"),
        Series("s-1", "", "lab"),
    ]
    assert result.seq is not None
    assert result.seq.tolist()[1:3] == [7, 7]
    assert result.attributes is not None
    assert [json.loads(text) for text in result.attributes[1:3]] == [{"rack": 4}, {"rack": 4}]
    assert result.label is not None
    assert result.label.tolist()[1] == "spike"


@pytest.mark.parametrize(
    ("payload", "reason", "detail"),
    [
        (b"\0\0", "schema_mismatch", "cut off"),
        (framed(AVRO, b""), "schema_mismatch", "Avro: "),
        (avro(GOOD) + b"x", "schema_mismatch", "1 bytes are left over"),
        (avro(GOOD)[:-1], "schema_mismatch", "Avro: "),
        (avro(GOOD | {"sensor_id": ""}), "text_length", "sensor_id: "),
        (avro(GOOD | {"value": float("nan")}), "not_finite", "value: "),
        (avro(GOOD | {"timestamp": NOW_MS // 1000}), "timestamp_unit", "seconds"),
        (framed(PROTOBUF, b""), "schema_mismatch", "message indexes"),
        (framed(PROTOBUF, b"\2\2" + b"\0"), "schema_mismatch", "has no message [1]"),
        (framed(PROTOBUF, b"\0\xff"), "schema_mismatch", "Protobuf: "),
        (proto({"sensor_id": "s-1"}), "missing_field", "timestamp"),
        (proto({"value": 1, "timestamp": NOW_MS}), "text_length", "sensor_id"),
        (framed(JSON, b"{"), "bad_json", "truncated"),
        (framed(JSON, b"\xff"), "not_utf8", "0xff"),
        (framed(JSON, reading(value=1001)), "schema_mismatch", "1001 is greater than the maximum of 1000"),
        (framed(JSON, reading(location=4)), "schema_mismatch", "$.location: 4 is not of type 'string'"),
        (framed(JSON, reading(timestamp=...)), "schema_mismatch", "'timestamp' is a required property"),
        (framed(JSON, reading(asset_id=[])), "wrong_type", "asset_id: "),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_alone_with_its_bytes(payload: bytes, reason: str, detail: str) -> None:
    result = decoded(avro(GOOD), payload, reading())
    assert result.message.tolist() == [0, 2]
    (reject,) = result.rejects
    assert (reject.message, reject.idx, reject.fault.reason, reject.payload) == (1, 0, reason, payload)
    assert detail in reject.fault.detail
    row = to_rows(result.rejects, messages(b"", payload, b""), topic="t", partition=0).to_dicts()[0]
    assert row["payload"] == payload[:KEPT_BYTES].decode("utf-8", "backslashreplace")


def test_without_schemas_framed_payloads_are_refused_with_a_hint() -> None:
    result = decode(
        messages(avro(GOOD)), SeriesCodes(Registry()), max_payload_bytes=10_000, max_ahead_ms=1, schemas=None
    )
    assert "schemas.url" in result.rejects[0].fault.detail


def test_what_is_not_known_yet_is_named_and_never_refused() -> None:
    schemas = Schemas()
    payloads = [avro(GOOD), None, b"", reading(), b"\0\0", proto(GOOD), avro(GOOD)]
    assert schemas.missing(payloads) == [AVRO, PROTOBUF]
    with pytest.raises(SchemaNotKnown):
        decoded(*payloads, schemas=schemas)
    schemas.add(AVRO, made.avro_text())
    schemas.add_unknown(PROTOBUF)
    assert schemas.missing(payloads) == []
    assert [fault[0] for fault in refused(avro(GOOD), proto(GOOD), schemas=schemas)] == ["unknown_schema"]


def test_fields_have_the_names_that_are_configured() -> None:
    fields = {
        "sensor_id": ("device.id",),
        "value": ("celsius", "humidity"),
        "timestamp": ("at",),
        "location": ("",),
    }
    device = {"type": "record", "name": "Device", "fields": [{"name": "id", "type": "string"}]}
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    first = record(device=device, celsius=["null", "double"], at=micros, location="string")
    second = record(device=["null", device], humidity=decimal, at="string")
    third = proto_file(
        ("Reading", {"device": "plant.Device", "celsius": "google.protobuf.DoubleValue"} | {"at": _STAMP}),
        ("Device", {"id": "string"}),
    )
    schemas = Schemas(fields=fields)
    found = schemas.add(1, made.avro_text(first))
    assert found.fields == {"sensor_id": "device.id", "value": "celsius", "timestamp": "at"}
    schemas.add(2, made.avro_text(second))
    schemas.add(3, made.proto_text(third))
    schemas.add(4, made.json_text({"type": "object"}))
    codes = SeriesCodes(Registry())
    result = decoded(
        avro({"device": {"id": "a"}, "celsius": 1.5, "at": NOW_MS * 1000 + 7, "location": "x"}, first, 1),
        avro({"device": {"id": "b"}, "humidity": Decimal("-2.25"), "at": "2025-10-09T08:53:20Z"}, second, 2),
        proto({"device": {"id": "c"}, "celsius": {"value": 3.5}, "at": {"seconds": NOW_MS // 1000}}, third, 3),
        framed(4, json.dumps({"device": {"id": "d"}, "celsius": 4.5, "at": NOW_MS, "location": "x"}).encode()),
        avro({"device": None, "humidity": Decimal(1), "at": ""}, second, 2),
        schemas=schemas,
        codes=codes,
    )
    assert result.value.tolist() == [1.5, -2.25, 3.5, 4.5]
    assert result.time_ms.tolist() == [NOW_MS] * 4
    assert [codes.series.values[code] for code in result.code] == [Series(name) for name in "abcd"]
    assert [r.fault.reason for r in result.rejects] == ["missing_field"]
    assert "device.id" in result.rejects[0].fault.detail


_STAMP = "google.protobuf.Timestamp"


def test_schemas_evolve_by_defaults() -> None:
    """Avro to a reader's schema; Protobuf and JSON Schema by the defaults they declare."""
    reader = record(
        sensor_id="string", value="double", timestamp="long", unit=("string", "°C"), location=("string", "lab")
    )
    reader["fields"][0]["aliases"] = ["device"]
    old = record(device="string", value="float", timestamp="long", gone="string")
    old_proto = proto_file(("Reading", {"sensor_id": "string", "value": "double", "timestamp": "int64"}))
    second = proto_file(("Reading", {"sensor_id": "string", "value": "double", "timestamp": "int64"}), syntax="proto2")
    second.message_type[0].field.add(
        name="location", number=9, type=made.F.TYPE_STRING, label=made.F.LABEL_OPTIONAL, default_value="lab"
    )
    json_schema = {"type": "object", "properties": {"location": {"type": "string", "default": "lab"}}}
    schemas = Schemas(reader=json.dumps(reader))
    schemas.add(1, made.avro_text(old))
    schemas.add(2, made.proto_text(old_proto))
    schemas.add(3, made.proto_text(second))
    schemas.add(4, made.json_text(json_schema))
    codes = SeriesCodes(Registry())
    result = decoded(
        avro({"device": "s-1", "value": 1.5, "timestamp": NOW_MS, "gone": "x"}, old, 1),
        proto(GOOD | {"location": "new", "seq": 4}, number=2),  # fields that its schema does not have
        proto(GOOD, old_proto, 3),
        framed(4, reading()),
        proto({**GOOD, "value": 0.0}, second, 3),
        schemas=schemas,
        codes=codes,
    )
    assert not result.rejects
    series = [codes.series.values[code] for code in result.code]
    assert series == [
        Series("s-1", "", "lab", "", "°C"),
        Series("s-1"),
        Series("s-1", "", "lab"),
        Series("s-1", "", "lab"),
        Series("s-1", "", "lab"),
    ]


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        (SchemaText("AVRO", "{"), "no Avro schema"),
        (SchemaText("AVRO", '"string"'), "no Avro record"),
        (made.avro_text(record(other="string")), "none of the fields"),
        (made.avro_text(record(value="double", more=["null", "plant.Reading"])), "contains itself"),
        (made.avro_text(record(value="double", more={"type": "array", "items": "null"})), "take no bytes"),
        (made.avro_text(record(timestamp={"type": "long", "logicalType": "local-timestamp-millis"})), "local time"),
        (SchemaText("PROTOBUF", 'syntax = "proto3";'), "format=serialized"),
        (made.proto_text(proto_file(("Reading", {"value": "plant.Nothing"}))), "Protobuf: "),
        (made.proto_text(proto_file(("Reading", {"value": _STAMP}))), "is a message"),
        (SchemaText("JSON", "[]"), "no JSON Schema"),
        (made.json_text({"type": 7}), "no JSON Schema"),
    ],
)
def test_a_schema_that_is_none_of_a_reading_refuses_its_payloads(schema: SchemaText, detail: str) -> None:
    schemas = Schemas()
    schemas.add(5, schema)
    ((reason, said),) = refused(framed(5, b"\0"), schemas=schemas)
    assert reason == "bad_schema"
    assert said.startswith("schema 5: ")
    assert detail in said


def test_references_between_schemas_are_followed() -> None:
    place = {"type": "record", "name": "Place", "namespace": "plant", "fields": [{"name": "hall", "type": "string"}]}
    whole = record(sensor_id="string", value="double", timestamp="long", place=place)
    apart = record(sensor_id="string", value="double", timestamp="long", place="plant.Place")
    schemas = Schemas(fields={"location": ("place.hall", "place")})
    schemas.add(1, SchemaText("AVRO", json.dumps(apart), (("plant.Place", json.dumps(place)),)))
    main = proto_file(
        ("Reading", {"sensor_id": "string", "value": "double", "timestamp": "int64", "place": "plant.Place"})
    )
    other = proto_file(("Place", {"hall": "string"}))
    both = proto_file(
        ("Reading", {"sensor_id": "string", "value": "double", "timestamp": "int64", "place": "plant.Place"}),
        ("Place", {"hall": "string"}),
    )
    main.dependency.append("place.proto")
    schemas.add(2, made.proto_text(main)._replace(references=(("place.proto", made.proto_text(other).text),)))
    text = {"type": "object", "properties": {"place": {"$ref": "place.json"}}}
    schemas.add(3, made.json_text(text)._replace(references=(("place.json", '{"type": "string"}'),)))
    schemas.add(4, made.json_text(text))
    codes = SeriesCodes(Registry())
    result = decoded(
        avro(GOOD | {"place": {"hall": "h-1"}}, whole, 1),
        proto(GOOD | {"place": {"hall": "h-1"}}, both, 2),
        framed(3, reading(place="h-1")),
        framed(3, reading(place=7)),
        framed(4, reading(place="h-1")),
        schemas=schemas,
        codes=codes,
    )
    assert {codes.series.values[code].location for code in result.code} == {"h-1"}
    assert len(result.code) == 3
    assert [reject.fault.reason for reject in result.rejects] == ["schema_mismatch", "bad_schema"]


def test_many_framed_payloads_keep_their_order() -> None:
    payloads = [avro(GOOD | {"value": float(n)}) if n % 3 else reading(value=n) for n in range(1500)]
    result = decoded(*payloads)
    assert np.array_equal(result.value, np.arange(1500))
    assert np.array_equal(result.message, np.arange(1500))
