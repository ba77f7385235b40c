"""JSON payloads with a JSON Schema: must fit it, and then be a reading as any JSON payload.

What the schemas of readings are usually made of is checked while decoding, at the speed of that. Where one says more,
and where that finds a fault, jsonschema has the last word, which takes a hundred times as long.
"""

import json
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from operators.decode_json import explain
from operators.framed import HEADER, Compiled, Refused, SchemaText, bad_schema, mismatch
from operators.records import Reading
from operators.schema_fields import FIELDS, Path, Paths, fault_of, picker, to_reading

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_one = msgspec.json.Decoder(Reading).decode
_any = msgspec.json.Decoder().decode

Check = Callable[[bytes], object]
"""Raises Refused, or msgspec.ValidationError, for a payload that does not fit."""


def compile_json_schema(schema: SchemaText, paths: Paths) -> Compiled:
    """Raises Refused when the schema cannot be that of a reading."""
    try:
        parsed = json.loads(schema.text)
        references = {name: json.loads(text) for name, text in schema.references}
    except (ValueError, RecursionError) as error:
        raise bad_schema(f"is no JSON Schema: {error}") from None
    if not isinstance(parsed, dict):
        raise bad_schema("is no JSON Schema of an object; one reading a message is expected")
    places, defaults = {}, {}
    for name in FIELDS:
        for path in paths[name]:
            found = _property(parsed, path)
            if found is not None:
                places[name] = path
                if "default" in found and found["default"] is not None:
                    defaults[name] = found["default"]
                break
    check = _check(parsed, references)
    as_is = not defaults and all(paths[name] == ((name,),) for name in FIELDS)
    pick = picker(paths)

    def read(payload: bytes) -> Reading:
        text = payload[HEADER:]
        try:
            check(text)
            if as_is:
                return _one(text)
            return to_reading(defaults | pick(_any(text)))
        except msgspec.ValidationError as error:
            raise Refused(fault_of(error, paths)) from None
        except _UNREADABLE as error:
            raise Refused(explain(text, error)) from None

    return Compiled(read, {name: ".".join(path) for name, path in places.items()})


def _property(schema: Any, path: Path) -> Mapping[str, Any] | None:
    for name in path:
        schema = schema.get("properties", {}).get(name) if isinstance(schema, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def _check(schema: dict[str, Any], references: Mapping[str, Any]) -> Check:
    validator = _validator(schema, references)

    def valid(text: bytes) -> None:
        try:
            error = next(validator.iter_errors(_any(text)), None)
        except Unresolvable as unresolvable:
            raise bad_schema(f"refers to {unresolvable.ref}, which is not among its references") from None
        if error is not None:
            raise mismatch(f"JSON Schema: {error.json_path}: {error.message[:300]}")

    kind = None if references else as_type(schema)
    if kind is None:
        return valid
    decode = msgspec.json.Decoder(kind).decode

    def fits(text: bytes) -> None:
        try:
            decode(text)
        except msgspec.ValidationError:
            valid(text)  # has the last word

    return fits


def _validator(schema: dict[str, Any], references: Mapping[str, Any]) -> Validator:
    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft7Validator)
    resources = [(name, Resource.from_contents(one, default_specification=DRAFT7)) for name, one in references.items()]
    try:
        kind.check_schema(schema)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise bad_schema(f"is no JSON Schema: {str(error).splitlines()[0]}") from None
    made: Validator = kind(schema, registry=Registry().with_resources(resources))  # nothing is fetched
    return made


_SAYS_NOTHING = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "format"})
_TYPES: dict[str, Any] = {"string": str, "number": float, "integer": int, "boolean": bool, "null": type(None)}
_LIMITS = {
    "number": {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"},
    "string": {"minLength": "min_length", "maxLength": "max_length"},
}


def as_type(schema: Any) -> Any:
    """A type to which msgspec decodes nothing that the schema refuses; None when there is none."""
    if not isinstance(schema, dict):
        return None
    says = {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}
    kind = says.pop("type", None)
    if kind == "object":
        return _object(says)
    if isinstance(kind, list):
        members = [_TYPES.get(one) for one in kind]
        return None if says or None in members else reduce(or_, members)
    limits = _LIMITS.get(kind, {})
    if kind not in _TYPES or not says.keys() <= limits.keys():
        return None
    if not says:
        return _TYPES[kind]
    if not all(type(limit) in (int, float) for limit in says.values()):
        return None  # in draft 4 some are booleans
    return Annotated[_TYPES[kind], msgspec.Meta(**{limits[name]: limit for name, limit in says.items()})]


def _object(says: dict[str, Any]) -> Any:
    properties, required = says.pop("properties", {}), says.pop("required", [])
    further = says.pop("additionalProperties", True)
    if says or not isinstance(further, bool) or not set(required) <= properties.keys():
        return None
    fields: list[tuple[str, Any, Any]] = []
    for number, (name, schema) in enumerate(properties.items()):
        kind = as_type(schema)
        if kind is None:
            return None
        if name in required:
            fields.append((f"f{number}", kind, msgspec.field(name=name)))
        else:
            unset = msgspec.field(name=name, default=msgspec.UNSET)
            fields.append((f"f{number}", kind | msgspec.UnsetType, unset))
    return msgspec.defstruct("Fits", fields, kw_only=True, forbid_unknown_fields=not further)
