"""Protobuf payloads: messages of classes made from the descriptor that the registry gives of a schema."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from operators.framed import HEADER, Compiled, Refused, SchemaText, bad_schema, mismatch
from operators.records import Reading
from operators.schema_fields import FIELDS, Path, Paths, fault_of, to_reading

Get = Callable[[Any], Any]
"""From a message to a value of it, None when it has none."""

_MAX_DEPTH = 16
_TIMESTAMP = "google.protobuf.Timestamp"
_NUMBERS = ("value", "timestamp", "seq")


def compile_protobuf(schema: SchemaText, paths: Paths) -> Compiled:
    """Raises Refused when the schema cannot be that of a reading."""
    file = _file(schema)
    readers: dict[tuple[int, ...], tuple[type[Message], list[tuple[str, Get]]]] = {}

    def of(indexes: tuple[int, ...]) -> tuple[type[Message], list[tuple[str, Get]]]:
        known = readers.get(indexes)
        if known is None:
            kind = _message(file, indexes)
            gets = [(name, get) for name, (_, get) in _places(kind, paths).items()]
            known = readers[indexes] = message_factory.GetMessageClass(kind), gets
        return known

    def read(payload: bytes) -> Reading:
        indexes: tuple[int, ...]
        if payload[HEADER : HEADER + 1] == b"\0":  # the first message, as it nearly always is
            start, indexes = HEADER + 1, (0,)
        else:
            start, indexes = _indexes(payload)
        make, gets = of(indexes)
        try:
            message = make.FromString(payload[start:])
            found = {name: value for name, get in gets if (value := get(message)) is not None}
            return to_reading(found)
        except msgspec.ValidationError as error:
            raise Refused(fault_of(error, paths)) from None
        except (DecodeError, json_format.Error, ValueError) as error:
            raise mismatch(f"Protobuf: {str(error)[:300]}") from None

    first = _places(_message(file, (0,)), paths)
    return Compiled(read, {name: ".".join(path) for name, (path, _) in first.items()})


def _indexes(payload: bytes) -> tuple[int, tuple[int, ...]]:
    """Where the message begins, and which it is: its place among messages, then among those within it."""
    at, count = _zigzag(payload, HEADER)
    if not 0 <= count <= _MAX_DEPTH:
        raise mismatch(f"Protobuf: {count} message indexes; was it framed for a schema registry?")
    indexes = []
    for _ in range(count):
        at, index = _zigzag(payload, at)
        indexes.append(index)
    return at, tuple(indexes) or (0,)


def _zigzag(payload: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, number >> 1 ^ -(number & 1)
    raise mismatch("Protobuf: cut off within its message indexes")


def _file(schema: SchemaText) -> Any:
    pool = descriptor_pool.DescriptorPool()
    try:
        for name, text in schema.references:
            _add(pool, name, text)
        return _add(pool, "", schema.text)
    except (binascii.Error, DecodeError) as error:
        raise bad_schema(f"is no Protobuf descriptor ({error}); the registry must serve format=serialized") from None
    except (TypeError, KeyError, ValueError) as error:
        raise bad_schema(f"Protobuf: {str(error)[:300]}") from None


def _add(pool: Any, name: str, text: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    file.name = name or "schema of the payload"
    for needed in file.dependency:
        _add_known(pool, needed)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def _add_known(pool: Any, name: str) -> None:
    """What every Protobuf compiler brings: google/protobuf/*.proto."""
    try:
        pool.FindFileByName(name)
    except KeyError:
        import google.protobuf.struct_pb2
        import google.protobuf.timestamp_pb2
        import google.protobuf.wrappers_pb2  # noqa: F401

        known = descriptor_pool.Default().FindFileByName(name)
        for needed in known.dependencies:
            _add_known(pool, needed.name)
        pool.AddSerializedFile(known.serialized_pb)


def _message(file: Any, indexes: tuple[int, ...]) -> Descriptor:
    declared = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(declared)
    inside: Any = declared.message_type
    names = [declared.package] if declared.package else []
    for index in indexes:
        if not 0 <= index < len(inside):
            raise mismatch(f"Protobuf: the schema has no message {list(indexes)}")
        names.append(inside[index].name)
        inside = inside[index].nested_type
    found: Descriptor = file.pool.FindMessageTypeByName(".".join(names))
    return found


def _places(kind: Descriptor, paths: Paths) -> dict[str, tuple[Path, Get]]:
    found = {}
    for name in FIELDS:
        for path in paths[name]:
            get = _get(kind, path, name)
            if get is not None:
                found[name] = path, get
                break
    return found


def _get(kind: Descriptor, path: Path, name: str) -> Get | None:
    """How to get at a field; None when there is none."""
    field = kind.fields_by_name.get(path[0])
    if field is None:
        return None
    if len(path) == 1:
        return _last(field, name)
    if field.message_type is None or field.is_repeated:
        return None
    inner = _get(field.message_type, path[1:], name)
    if inner is None:
        return None
    ours = field.name
    return lambda message: inner(getattr(message, ours)) if message.HasField(ours) else None


def _last(field: FieldDescriptor, name: str) -> Get:
    """A value of a field as a reading wants it; what was not sent is the default its schema declares."""
    theirs = field.name
    value = _value(field, name)
    if not field.has_presence:
        if name == "timestamp":
            return lambda message: getattr(message, theirs) or None  # 0 is what is not sent
        return value
    if field.has_default_value:
        return value
    return lambda message: value(message) if message.HasField(theirs) else None


def _value(field: FieldDescriptor, name: str) -> Get:
    theirs, kind, enum = field.name, field.message_type, field.enum_type
    if name == "attributes" and kind is not None:
        return lambda message: _object(getattr(message, theirs), field)
    if field.is_repeated or (kind is not None and name == "attributes"):
        raise bad_schema(f"Protobuf field {theirs}: is repeated; one value is expected for {name}")
    if kind is None:
        if enum is not None and name not in _NUMBERS:
            words = {number: one.name for number, one in enum.values_by_number.items()}
            return lambda message: words.get(getattr(message, theirs), str(getattr(message, theirs)))
        return lambda message: getattr(message, theirs)
    if kind.full_name == _TIMESTAMP and name == "timestamp":
        return lambda message: _milliseconds(getattr(message, theirs))
    if kind.full_name.startswith("google.protobuf.") and [*kind.fields_by_name] == ["value"]:  # a wrapper
        return lambda message: getattr(message, theirs).value
    raise bad_schema(f"Protobuf field {theirs}: is a message; [schemas.fields] can say which field of it is {name}")


def _milliseconds(stamp: Any) -> int:
    return int(stamp.seconds) * 1000 + int(stamp.nanos) // 1_000_000


def _object(value: Any, field: FieldDescriptor) -> Mapping[str, Any] | str | None:
    if field.is_repeated:
        kind = field.message_type
        if kind is None or not kind.GetOptions().map_entry or kind.fields_by_name["value"].message_type is not None:
            raise bad_schema(f"Protobuf field {field.name}: attributes are a map, a message, or the text of an object")
        return {str(key): one for key, one in value.items()} or None
    text: str = json_format.MessageToJson(value, indent=None, preserving_proto_field_name=True)
    return text
