"""What a schema registry frames, by the schema that the first byte chooses: read or refused, no neighbour is lost."""

from operators.framed import Schemas
from tests.fuzz import mutate
from tests.fuzz.targets import payloads
from tests.operators import schemas as made
from tests.operators.payloads import NOW_MS, reading

_NESTED = made.record(
    sensor_id="string",
    value=["null", "int", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}],
    timestamp={"type": "long", "logicalType": "timestamp-micros"},
    attributes={"type": "map", "values": {"type": "array", "items": ["null", "boolean", "bytes", "float"]}},
    place={"type": "record", "name": "Place", "fields": [{"name": "hall", "type": "string"}]},
)
_DEEP = made.proto_file(
    (
        "Reading",
        {
            "sensor_id": "string",
            "value": "google.protobuf.DoubleValue",
            "timestamp": "google.protobuf.Timestamp",
            "place": "plant.Reading",
            "attributes": "google.protobuf.Struct",
        },
    )
)
_STRICT = {"type": "object", "properties": {"value": {"multipleOf": 0.5}}, "not": {"required": ["secret"]}}
_SCHEMAS = Schemas(fields={"location": ("place.hall", "place.sensor_id", "location")})
for _number, _schema in enumerate(
    (
        *(made.avro_text(), made.avro_text(_NESTED), made.proto_text(), made.proto_text(_DEEP)),
        *(made.json_text(), made.json_text(_STRICT)),
    )
):
    _SCHEMAS.add(_number, _schema)
_COUNT = 6
_BODY = 4  # after the zeros of the number

_MORE = made.GOOD | {"sensor_type": "co2", "location": "lab", "seq": 7, "attributes": {"rack": 4.0}}
_DEEPER = {"sensor_id": "s", "value": {"value": 1}, "timestamp": {"seconds": NOW_MS // 1000}}
SEEDS = [
    payload[_BODY:]
    for payload in (
        made.avro(made.GOOD, number=0),
        made.avro(_MORE, number=0),
        made.avro(
            {**made.GOOD, "value": 3, "timestamp": NOW_MS * 1000, "attributes": {"a": [None, True, b"x", 1.5]}}
            | {"place": {"hall": "h"}},
            _NESTED,
            1,
        ),
        made.proto(_MORE, number=2),
        made.proto(_DEEPER | {"place": _DEEPER, "attributes": {"a": [1, {"b": None}]}}, _DEEP, 3),
        made.proto(_DEEPER, _DEEP, 3, indexes=b"\2\0"),
        made.framed(4, reading(location="lab")),
        made.framed(5, reading(value=1.5)),
        made.framed(5, reading(secret="x")),
        made.framed(7, b""),
    )
]
TOKENS = (*mutate.TOKENS, b"\0", b"\2", b"\x80" * 9, b"\xff" * 9, b"\1", b"\x0a", b"\x12\x09", b"secret")


def check(data: bytes) -> str:
    """As `payloads.check`; too short ones are cut off within the number."""
    if data:
        data = b"\0" * _BODY + (data[0] % _COUNT).to_bytes() + data[1:]
    return payloads.check(data or b"\0\0", _SCHEMAS)
