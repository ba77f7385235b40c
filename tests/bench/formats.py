"""Payloads with a schema beside plain JSON: readings a second that the intake of a partition takes in, on one core.

python -m tests.bench.formats
"""

import argparse
import base64
import json
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from statistics import median
from typing import Any

import fastavro
import numpy as np
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.kafka import reading_schemas
from operators.batches import Messages
from operators.framed import Schemas, SchemaText
from operators.intake import IntakeConfig, PartitionIntake
from operators.registry import Registry
from tests.registry import FakeRegistry

READINGS = 200_000
_BATCH = 10_000
_SENSORS = 1_000
_SAMPLE = 5_000
"""Messages that Confluent's deserializers are given, which are slow."""
_NOW_MS = 1_760_000_000_000
_CONTEXT = SerializationContext("sensors", MessageField.VALUE)
_TITLES = {"json": "JSON, no schema", "avro": "Avro", "protobuf": "Protobuf", "json-schema": "JSON Schema"}

Decode = Callable[[bytes], object]


def run(*, readings: int, repeat: int, console: Console) -> dict[str, float]:
    """Measure and print; readings a second of each format."""
    with FakeRegistry() as registry:
        payloads, schemas = _payloads(readings, registry)
        with SchemaRegistryClient({"url": registry.url}) as client:
            theirs = {name: _seconds(decode, payloads[name][:_SAMPLE]) for name, decode in _confluents(client).items()}
    table = Table("", "readings/s", "µs each", "Confluent's deserializer, messages/s", box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    rates = {}
    for name, title in _TITLES.items():
        seconds = median(_intake(payloads[name], schemas) for _ in range(repeat))
        rates[name] = readings / seconds
        other = f"{_SAMPLE / theirs[name]:,.0f}" if name in theirs else ""
        table.add_row(title, f"{rates[name]:,.0f}", f"{1e6 * seconds / readings:.2f}", other)
    console.print("[bold]formats[/]: decoded to columns, clocks guarded, watermark stamped; one core")
    console.print(table)
    return rates


def _payloads(readings: int, registry: FakeRegistry) -> tuple[Mapping[str, list[bytes]], Schemas]:
    kind = reading_schemas.protobuf_class()
    file = base64.b64encode(kind.DESCRIPTOR.file.serialized_pb).decode()
    texts = {
        "avro": SchemaText("AVRO", reading_schemas.AVRO),
        "protobuf": SchemaText("PROTOBUF", file),
        "json-schema": SchemaText("JSON", reading_schemas.JSON),
    }
    schemas, heads = Schemas(), {}
    for name, schema in texts.items():
        number = registry.add(schema)
        schemas.add(number, schema)
        heads[name] = b"\0" + number.to_bytes(4)
    parsed = fastavro.parse_schema(json.loads(reading_schemas.AVRO))
    found: dict[str, list[bytes]] = {name: [] for name in _TITLES}
    for i in range(readings):
        reading = {
            "sensor_id": f"hall-{i % 7}/sensor-{i % _SENSORS}",
            "value": 20 + (i * 7919 % 1000) / 100,
            "timestamp": _NOW_MS + i,
            "sensor_type": "temperature",
            "location": f"hall-{i % 7}",
            "unit": "°C",
        }
        text = json.dumps(reading).encode()
        stream = BytesIO()
        fastavro.schemaless_writer(stream, parsed, reading)
        found["json"].append(text)
        found["avro"].append(heads["avro"] + stream.getvalue())
        found["protobuf"].append(heads["protobuf"] + b"\0" + kind(**reading).SerializeToString())
        found["json-schema"].append(heads["json-schema"] + text)
    return found, schemas


def _intake(payloads: list[bytes], schemas: Schemas) -> float:
    """Seconds of processor for all."""
    config = IntakeConfig(max_ahead_ms=10**9)
    intake = PartitionIntake("bench", 0, config=config, registry=Registry(), schemas=schemas)
    began_s, read = time.process_time(), 0
    for start in range(0, len(payloads), _BATCH):
        some = payloads[start : start + _BATCH]
        offsets = np.arange(start, start + len(some), dtype=np.int64)
        batch = intake.feed(Messages(list(some), offsets, np.full(len(some), _NOW_MS)))
        read += 0 if batch.readings is None else len(batch.readings)
    seconds = time.process_time() - began_s
    assert read == len(payloads), f"{len(payloads) - read} readings were refused"
    return seconds


def _confluents(client: Any) -> dict[str, Decode]:
    avro = AvroDeserializer(client, reading_schemas.AVRO, conf={"subject.name.strategy.type": "TOPIC"})
    text = JSONDeserializer(None, schema_registry_client=client, conf={"subject.name.strategy.type": "TOPIC"})
    protobuf = ProtobufDeserializer(
        reading_schemas.protobuf_class(), {"use.deprecated.format": False}, schema_registry_client=None
    )
    return {
        "avro": lambda payload: avro(payload, _CONTEXT),
        "protobuf": lambda payload: protobuf(payload, _CONTEXT),
        "json-schema": lambda payload: text(payload, _CONTEXT),
    }


def _seconds(decode: Decode, payloads: list[bytes]) -> float:
    decode(payloads[0])
    began_s = time.process_time()
    for payload in payloads:
        decode(payload)
    return max(time.process_time() - began_s, 1e-9) * _SAMPLE / len(payloads)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.formats", description=__doc__)
    parser.add_argument("--readings", type=int, default=READINGS)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    run(readings=options.readings, repeat=options.repeat, console=wide_console())
