"""Schemas of readings and payloads framed as a schema registry does it, made by other means than the product's."""

import base64
import io
import json
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from operators.framed import SchemaText
from tests.operators.payloads import NOW_MS

GOOD: dict[str, Any] = {"sensor_id": "s-1", "value": 21.5, "timestamp": NOW_MS}
AVRO, PROTOBUF, JSON = 1, 2, 3
"""Numbers that the schemas have in tests."""


def framed(number: int, body: bytes) -> bytes:
    return b"\0" + number.to_bytes(4) + body


def record(**fields: Any) -> dict[str, Any]:
    """An Avro schema; of each field its type, or (type, default)."""
    listed = [
        {"name": name, "type": kind[0], "default": kind[1]} if isinstance(kind, tuple) else {"name": name, "type": kind}
        for name, kind in fields.items()
    ]
    return {"type": "record", "name": "Reading", "namespace": "plant", "fields": listed}


AVRO_SCHEMA = record(
    sensor_id="string",
    value="double",
    timestamp={"type": "long", "logicalType": "timestamp-millis"},
    sensor_type=(["null", "string"], None),
    location=(["null", "string"], None),
    unit=("string", ""),
    seq=(["null", "long"], None),
    attributes=(["null", {"type": "map", "values": ["string", "double", "boolean"]}], None),
    label=(["null", {"type": "enum", "name": "Label", "symbols": ["normal", "spike"]}], None),
)
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Reading",
    "type": "object",
    "properties": {
        "sensor_id": {"type": "string", "minLength": 1},
        "value": {"type": "number", "maximum": 1000},
        "timestamp": {"type": "integer"},
        "location": {"type": "string"},
        "unit": {"type": "string"},
        "rack": {"type": ["integer", "null"]},
    },
    "required": ["sensor_id", "value", "timestamp"],
}


def avro(record: dict[str, Any], schema: dict[str, Any] = AVRO_SCHEMA, number: int = AVRO) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return framed(number, stream.getvalue())


def avro_text(schema: dict[str, Any] = AVRO_SCHEMA) -> SchemaText:
    return SchemaText("AVRO", json.dumps(schema))


def json_text(schema: Any = None) -> SchemaText:
    return SchemaText("JSON", json.dumps(JSON_SCHEMA if schema is None else schema))


F = descriptor_pb2.FieldDescriptorProto
_KINDS = {"string": F.TYPE_STRING, "double": F.TYPE_DOUBLE, "int64": F.TYPE_INT64, "sint32": F.TYPE_SINT32}


def proto_file(*messages: tuple[str, dict[str, str]], syntax: str = "proto3") -> Any:
    """A file of messages, each with its fields: a scalar, "optional ..." one, or a message's full name."""
    file = descriptor_pb2.FileDescriptorProto(name="plant.proto", package="plant", syntax=syntax)
    for name, fields in messages:
        message = file.message_type.add(name=name)
        for number, (field, text) in enumerate(fields.items(), 1):
            kind = text.removeprefix("optional ")
            made = message.field.add(name=field, number=number, label=F.LABEL_OPTIONAL)
            if kind in _KINDS:
                made.type = _KINDS[kind]
            else:
                made.type, made.type_name = F.TYPE_MESSAGE, f".{kind}"
                if kind.startswith("google.") and (needed := _FILES[kind]) not in file.dependency:
                    file.dependency.append(needed)
            if text != kind:
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field}")
    return file


_FILES = {
    "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
    "google.protobuf.Struct": "google/protobuf/struct.proto",
    "google.protobuf.DoubleValue": "google/protobuf/wrappers.proto",
}
PROTO_FILE = proto_file(
    (
        "Reading",
        {
            "sensor_id": "string",
            "value": "double",
            "timestamp": "int64",
            "sensor_type": "string",
            "location": "string",
            "seq": "optional int64",
            "attributes": "google.protobuf.Struct",
        },
    )
)


def proto_class(file: Any = PROTO_FILE, name: str = "Reading") -> Any:
    from google.protobuf import struct_pb2, timestamp_pb2, wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    for known in (struct_pb2, timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


def proto(fields: dict[str, Any], file: Any = PROTO_FILE, number: int = PROTOBUF, indexes: bytes = b"\0") -> bytes:
    return framed(number, indexes + proto_class(file)(**fields).SerializeToString())


def proto_text(file: Any = PROTO_FILE) -> SchemaText:
    return SchemaText("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())
