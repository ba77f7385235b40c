"""Avro payloads: each decoded by the schema it names, or resolved from that to a reader's schema."""

import json
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from fastavro.schema import SchemaParseException, UnknownType

from operators.framed import HEADER, Compiled, Refused, SchemaText, bad_schema, mismatch
from operators.records import Reading
from operators.schema_fields import FIELDS, Path, Paths, fault_of, picker, to_reading

_LOGICAL = "logical"
"""What logicalType is renamed to: numbers are wanted as they were written, not as dates that may not exist."""

_PER_MS = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
_EMPTY = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "enum": 1}
"""Bytes a value of a type takes at least."""


def compile_avro(schema: SchemaText, paths: Paths, *, reader: str = "") -> Compiled:
    """Raises Refused when the schema cannot be that of a reading."""
    names: dict[str, Any] = {}
    for _, text in schema.references:
        _parsed(text, names)
    writer = _parsed(schema.text, names)
    wanted_names: dict[str, Any] = {} if reader else names
    wanted = _parsed(reader, wanted_names) if reader else writer
    # fastavro's C code would run out of stack, or for ever.
    _check(writer, names, ())
    places = {name: found for name in FIELDS if (found := _place(wanted, wanted_names, paths[name]))}
    if not places:
        raise bad_schema("Avro, has none of the fields of a reading; [schemas.fields] can say what they are called")
    pick = picker({name: (path,) for name, (path, _) in places.items()})
    changes = [(name, change) for name, (_, kind) in places.items() if (change := _change(name, kind)) is not None]
    resolved = wanted if reader else None
    decode: Callable[..., Any] = fastavro.schemaless_reader

    def read(payload: bytes) -> Reading:
        stream = BytesIO(payload)
        stream.seek(HEADER)
        try:
            record = decode(stream, writer, resolved)
        except Exception as error:  # whatever fastavro makes of broken bytes
            raise mismatch(f"Avro: {type(error).__name__}: {str(error)[:300]}") from None
        if stream.tell() != len(payload):
            raise mismatch(f"Avro: {len(payload) - stream.tell()} bytes are left over after the record")
        found = pick(record)
        try:
            for name, change in changes:
                if name in found:
                    found[name] = change(found[name])
            return to_reading(found)
        except msgspec.ValidationError as error:
            raise Refused(fault_of(error, paths)) from None

    return Compiled(read, {name: ".".join(path) for name, (path, _) in places.items()})


def _parsed(text: str, names: dict[str, Any]) -> Any:
    """names: of types known so far; those of the text are added."""
    try:
        parsed = fastavro.parse_schema(_plain(json.loads(text)), named_schemas=names)
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError, RecursionError) as error:
        raise bad_schema(f"is no Avro schema: {type(error).__name__}: {str(error)[:300]}") from None
    if not isinstance(parsed, dict) or parsed.get("type") not in ("record", "enum", "fixed"):
        raise bad_schema("is no Avro record; one reading a message is expected")
    return parsed


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {_LOGICAL if key == "logicalType" else key: _plain(value) for key, value in node.items()}
    return [_plain(one) for one in node] if isinstance(node, list) else node


def _check(node: Any, names: dict[str, Any], around: tuple[str, ...]) -> int:
    """The fewest bytes a value takes. Raises Refused for types within themselves, and for lists of nothing."""
    if isinstance(node, list):
        return 1 + min((_check(one, names, around) for one in node), default=0)
    if isinstance(node, str):
        if node in _EMPTY:
            return _EMPTY[node]
        if node in around:
            raise bad_schema(f"Avro type {node} contains itself, which no reading needs")
        return _check(names[node], names, around)
    kind = node["type"]
    if kind == "record":
        inside = (*around, node["name"])
        return sum(_check(field["type"], names, inside) for field in node["fields"])
    if kind == "array":
        if not _check(node["items"], names, around):
            raise bad_schema("Avro array of values that take no bytes, of which few bytes could say billions")
        return 1
    if kind == "map":
        _check(node["values"], names, around)
        return 1
    return int(node["size"]) if kind == "fixed" else _check(kind, names, around)


def _place(record: Any, names: dict[str, Any], places: tuple[Path, ...]) -> tuple[Path, Any] | None:
    """The first place that the schema has, and its type."""
    for path in places:
        node = record
        for name in path:
            node = _field(_sole(node, names), name)
        if node is not None:
            return path, _sole(node, names)
    return None


def _field(record: Any, name: str) -> Any:
    fields = record.get("fields", ()) if isinstance(record, dict) else ()
    return next((field["type"] for field in fields if field["name"] == name), None)


def _sole(node: Any, names: dict[str, Any]) -> Any:
    """A type without null beside it, and by its definition."""
    if isinstance(node, list):
        node = next((one for one in node if one != "null"), None)
    if isinstance(node, str):
        return names.get(node, {"type": node})
    return node


def _change(name: str, kind: Any) -> Callable[[Any], Any] | None:
    """What has to be done to values of a field."""
    logical = kind.get(_LOGICAL, "")
    if name == "timestamp":
        if logical.startswith("local-timestamp"):
            raise bad_schema("timestamp is a local time, which says nothing without a zone; use timestamp-millis")
        per_ms = _PER_MS.get(logical, 1)
        return None if per_ms == 1 else lambda stamp: stamp // per_ms
    if name == "value" and logical == "decimal":
        scale = -int(kind.get("scale", 0))
        return lambda raw: float(Decimal(int.from_bytes(raw, signed=True)).scaleb(scale))
    return None
