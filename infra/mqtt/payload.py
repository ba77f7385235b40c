"""From an MQTT message to Kafka messages: each keyed by its sensor, what the topic says filled in where it is missing.

Nothing is refused here: what cannot be used goes on as it is, so that the flow's dead letters keep it with the reason.
"""

import json
from typing import Literal, NamedTuple

import msgspec

from infra.mqtt.template import FIELDS, TopicTemplate
from operators.decode_json import is_array, split

Unfit = Literal[
    "no_sensor",  # neither the payload says its sensor nor does the topic, which is not the template's
    "not_json",  # no JSON object of a reading, so nothing can be filled in, and nothing be read from it
    "too_large",  # more than Kafka takes; the only ones that are dropped
]
"""Why the bridge could not do its part with a message."""

_ARROW = (b"\xff\xff\xff\xff", b"ARROW1")
_TOGETHER_BYTES = 200_000
"""Readings of a sensor that came in one message travel on together, up to so much."""


class Outgoing(NamedTuple):
    """One Kafka message."""

    key: bytes
    value: bytes


class _Said(msgspec.Struct, gc=False):
    """The fields a topic may say, as far as the payload does."""

    sensor_id: str | None = None
    sensor_type: str | None = None
    location: str | None = None
    unit: str | None = None
    asset_id: str | None = None


assert _Said.__struct_fields__ == FIELDS

_said = msgspec.json.Decoder(_Said).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Prepared(NamedTuple):
    """What becomes of one MQTT message. unfit: the first thing that was wrong with it, if any."""

    messages: list[Outgoing]
    unfit: Unfit | None = None


def prepare(topic: str, payload: bytes, template: TopicTemplate) -> Prepared:
    """Kafka messages of an MQTT message; none raises."""
    fields = template.fields(topic)
    try:
        outgoing = _one(payload, fields)
    except _UNREADABLE:
        return _other(topic, payload, fields)
    if outgoing is None:
        return Prepared([Outgoing(topic.encode(), payload)], "no_sensor")
    return Prepared([outgoing])


def _one(payload: bytes, fields: dict[str, str] | None) -> Outgoing | None:
    """One JSON object, filled; None when nobody says its sensor. Raises _UNREADABLE."""
    said = _said(payload)
    missing = {name: text for name, text in fields.items() if not getattr(said, name)} if fields else None
    if missing:
        payload = _filled(payload, missing)
    sensor_id = said.sensor_id or (missing and missing.get("sensor_id"))
    return Outgoing(sensor_id.encode(), payload) if sensor_id else None


def _filled(payload: bytes, missing: dict[str, str]) -> bytes:
    return _encode({**_object(payload), **missing})


def _other(topic: str, payload: bytes, fields: dict[str, str] | None) -> Prepared:
    """Anything but one good JSON object."""
    key = ((fields or {}).get("sensor_id") or topic).encode()
    if payload.startswith(_ARROW):
        return Prepared([Outgoing(key, payload)])
    elements = split(payload)
    if elements in ([payload], []) or (is_array(payload) and not _is_whole(payload)):
        return Prepared([Outgoing(key, payload)], "not_json")
    return _elements(topic, elements, fields, key)


def _is_whole(payload: bytes) -> bool:
    """Whether it is JSON; NaN and the like are let through, they are refused with their element."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def _elements(topic: str, elements: list[bytes], fields: dict[str, str] | None, key: bytes) -> Prepared:
    """Each on its way by its own sensor, those that are no readings as they are."""
    by_key: dict[bytes, list[bytes]] = {}
    messages: list[Outgoing] = []
    unfit: Unfit | None = None
    for element in elements:
        try:
            outgoing = _one(element, fields)
        except _UNREADABLE:
            unfit = unfit or "not_json"
            # A list within a list is no reading; by itself it would be a list of readings.
            messages.append(Outgoing(key, b"[%b]" % element if is_array(element) else element))
            continue
        if outgoing is None:
            unfit = unfit or "no_sensor"
            messages.append(Outgoing(topic.encode(), element))
        else:
            by_key.setdefault(outgoing.key, []).append(outgoing.value)
    messages += [Outgoing(key, value) for key, values in by_key.items() for value in _joined(values)]
    return Prepared(messages, unfit)


def _joined(values: list[bytes]) -> list[bytes]:
    """JSON arrays of so many values as may travel together."""
    if len(values) == 1:
        return values
    arrays: list[bytes] = []
    chunk: list[bytes] = []
    size = 0
    for value in values:
        if chunk and size + len(value) > _TOGETHER_BYTES:
            arrays.append(b"[%b]" % b",".join(chunk))
            chunk, size = [], 0
        chunk.append(value)
        size += len(value)
    arrays.append(b"[%b]" % b",".join(chunk))
    return arrays
