"""JSON payloads: their elements, and why one cannot be read."""

import json
import re

import msgspec

from operators.rejects import Fault

_whole = msgspec.json.Decoder(msgspec.Raw).decode
# Only the boundaries of elements are wanted, so numbers are left as text; NaN and Infinity are let through here and
# refused with their element.
_scan = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode
_space = re.compile(r"[ \t\n\r]*")

_REQUIRED = ("sensor_id", "value", "timestamp")


def is_array(payload: bytes) -> bool:
    """Whether it begins as a JSON array does."""
    return payload.lstrip()[:1] == b"["


def split(payload: bytes) -> list[bytes]:
    """The elements of a payload: of an array, lines of NDJSON, or the payload itself.

    What cannot be parsed stays one piece: a broken line, or the rest of an array from its first syntax error on.
    """
    if is_array(payload):
        return _array_elements(payload)
    lines = [line for line in payload.split(b"\n") if not line.isspace() and line]
    if len(lines) > 1 and not _is_json(payload) and any(line.lstrip()[:1] == b"{" and _is_json(line) for line in lines):
        return lines
    return [payload]


def _is_json(payload: bytes) -> bool:
    try:
        _whole(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _array_elements(payload: bytes) -> list[bytes]:
    text = payload.decode("utf-8", "surrogateescape")
    pieces: list[str] = []
    at = _skip(text, text.index("[") + 1)
    if text[at : at + 1] == "]" and _skip(text, at + 1) == len(text):
        return []
    while True:
        try:
            _, end = _scan(text, at)
        except (ValueError, RecursionError):
            pieces.append(text[at:])
            break
        pieces.append(text[at:end])
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
            continue
        if text[at : at + 1] != "]" or _skip(text, at + 1) < len(text):
            pieces.append(text[at:])
        break
    return [piece.encode("utf-8", "surrogateescape") for piece in pieces]


def _skip(text: str, at: int) -> int:
    match = _space.match(text, at)
    return match.end() if match else at


def explain(piece: bytes, error: Exception) -> Fault:
    """Why decoding `piece` as a reading raised `error`."""
    if isinstance(error, msgspec.ValidationError):
        try:
            _whole(piece)
        except (msgspec.DecodeError, RecursionError) as deeper:
            error = deeper  # a wrong field came first, but the whole is no JSON
        else:
            return explain_field(str(error))
    if isinstance(error, RecursionError):
        return Fault("bad_json", "nested too deeply")
    if found := re.search(r"invalid character \(byte (\d+)\)", str(error)):
        at = int(found[1])
        if piece[at : at + 3] in (b"NaN", b"Inf", b"nan", b"inf"):
            return Fault("not_finite", "NaN and Infinity are no values; leave such a reading out")
    try:
        piece.decode()
    except UnicodeDecodeError as undecodable:
        byte = piece[undecodable.start]
        detail = f"not UTF-8 text: byte 0x{byte:02x} at position {undecodable.start}; send JSON or Arrow IPC"
        return Fault("not_utf8", detail + _hint(piece))
    return Fault("bad_json", _continued(str(error)) + _hint(piece))


def _hint(piece: bytes) -> str:
    return "; if a schema registry frames it, name that in schemas.url" if piece[:1] == b"\0" else ""


def explain_field(error: str) -> Fault:
    """What msgspec says of a value that is no reading."""
    message, _, path = error.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", message):
        return Fault("missing_field", f"{missing[1]}: is missing")
    if field in _REQUIRED and "got `null`" in message:
        return Fault("missing_field", f"{field}: is null")
    detail = _continued(message)
    if field:
        detail = f"{field}: {detail}"
    if "of length" in message:
        return Fault("text_length", detail)
    if "out of range" in message:
        return Fault("timestamp_range" if field == "timestamp" else "not_finite", detail)
    return Fault("wrong_type", detail)


def _continued(sentence: str) -> str:
    """A sentence as it reads after a colon: "JSON is malformed" keeps its capital."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]
