"""Schemas of a reading in each format, for those who produce readings: `streamgauge simulate --format`."""

import json
from typing import Any

_TEXTS = ("sensor_type", "location", "unit", "asset_id", "label")

AVRO = json.dumps(
    {
        "type": "record",
        "name": "Reading",
        "namespace": "streamgauge",
        "fields": [
            {"name": "sensor_id", "type": "string"},
            {"name": "value", "type": "double"},
            {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            *({"name": name, "type": "string", "default": ""} for name in _TEXTS),
            {"name": "seq", "type": ["null", "long"], "default": None},
        ],
    }
)

JSON = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Reading",
        "type": "object",
        "properties": {
            "sensor_id": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "timestamp": {"type": "integer", "description": "epoch milliseconds"},
            **{name: {"type": "string"} for name in _TEXTS},
            "seq": {"type": ["integer", "null"]},
        },
        "required": ["sensor_id", "value", "timestamp"],
    }
)


def protobuf_class() -> Any:
    """The class of Protobuf messages, of

    message Reading { string sensor_id = 1; double value = 2; int64 timestamp = 3; string sensor_type = 4; ... }
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="reading.proto", package="streamgauge", syntax="proto3")
    reading = file.message_type.add(name="Reading")
    fields = {"sensor_id": kinds.TYPE_STRING, "value": kinds.TYPE_DOUBLE, "timestamp": kinds.TYPE_INT64}
    fields |= dict.fromkeys(_TEXTS, kinds.TYPE_STRING) | {"seq": kinds.TYPE_INT64}
    for number, (name, kind) in enumerate(fields.items(), 1):
        field = reading.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
        if name == "seq":
            field.proto3_optional, field.oneof_index = True, 0
            reading.oneof_decl.add(name="_seq")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("streamgauge.Reading"))
