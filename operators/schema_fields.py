"""Fields of a reading and what a schema calls them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from operators.decode_json import explain_field
from operators.records import Reading
from operators.rejects import Fault

Path = tuple[str, ...]
"""A field by its name, with those of the records around it."""

Paths = Mapping[str, tuple[Path, ...]]
"""Of every field of a reading where it may be, the first that is there counts."""

FIELDS = Reading.__struct_fields__
REQUIRED = ("sensor_id", "value", "timestamp")

_TEXT_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_convert = msgspec.convert
_to_json = msgspec.json.Encoder(enc_hook=str).encode


def paths_of(fields: Mapping[str, Sequence[str]]) -> Paths:
    """From the configuration; what it does not say has its own name."""
    return {name: tuple(tuple(text.split(".")) for text in fields.get(name, (name,)) if text) for name in FIELDS}


def picker(paths: Paths) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """From a record to what it has of a reading, None being the same as not there."""
    if all(len(places) == 1 and len(places[0]) == 1 for places in paths.values()):
        flat = tuple((name, places[0][0]) for name, places in paths.items())
        return lambda record: {name: value for name, theirs in flat if (value := record.get(theirs)) is not None}

    def pick(record: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, places in paths.items():
            for path in places:
                value = _at(record, path)
                if value is not None:
                    found[name] = value
                    break
        return found

    return pick


def to_reading(found: dict[str, Any]) -> Reading:
    """From values by our names. Raises msgspec.ValidationError, which `fault_of` explains."""
    attributes = found.pop("attributes", None)
    reading = _convert(found, Reading)
    if attributes is not None:
        reading.attributes = msgspec.Raw(_object_text(attributes))
    return reading


def fault_of(error: msgspec.ValidationError, paths: Paths) -> Fault:
    """Why values are no reading; says what a field that is not there could be called."""
    fault = explain_field(str(error))
    if fault.reason != "missing_field":
        return fault
    name = fault.detail.partition(":")[0]
    places = " or ".join(".".join(path) for path in paths.get(name, ()))
    return Fault(
        "missing_field", f"{fault.detail} (looked for as {places or 'nothing'}; [schemas.fields] can say where)"
    )


def _at(record: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def _object_text(value: Any) -> bytes:
    """Attributes as the text of a JSON object."""
    if isinstance(value, str):
        try:
            _TEXT_OBJECT(value)
        except (msgspec.DecodeError, RecursionError):
            raise msgspec.ValidationError("Expected `object` - at `$.attributes`") from None
        return value.encode()
    if not isinstance(value, Mapping):
        raise msgspec.ValidationError("Expected `object` - at `$.attributes`")
    try:
        return _to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        text = re.sub(r"[`$]", "", str(error))
        raise msgspec.ValidationError(f"Expected `object`, {text} - at `$.attributes`") from None
