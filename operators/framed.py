"""Payloads as a schema registry frames them: byte 0, the number of a schema, and what that schema describes.

0 | schema id, 4 bytes, big-endian | Avro, Protobuf (its message indexes first) or JSON

What the schemas are is found out elsewhere (infra/kafka/schemas.py) and added here; decoding asks nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from operators.records import Reading
from operators.rejects import Fault, Reason
from operators.schema_fields import Paths, paths_of

MAGIC = b"\0"
HEADER = 5
"""Bytes before what the schema describes."""

Kind = Literal["AVRO", "PROTOBUF", "JSON"]


class SchemaText(NamedTuple):
    """A schema as the registry gives it. Protobuf: a FileDescriptorProto, serialized, in base64.

    references: (name, text) of the schemas it builds on, each after those it builds on itself.
    """

    kind: Kind
    text: str
    references: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A payload that is no reading."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class SchemaNotKnown(LookupError):
    """Nobody has found out yet what a schema is: the caller's mistake, see `Schemas.missing`."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """How to read what one schema describes.

    read: a whole payload to its reading; raises Refused.
    fields: names of fields of a reading, each with its name in the schema, as far as it has them.
    """

    read: Callable[[bytes], Reading]
    fields: Mapping[str, str]


class Schemas:
    """What is known of the schemas of one process; it grows.

    fields: names of fields of a reading, each with names it may have in a schema, dots between levels; "" for none.
    reader: an Avro schema to which all Avro payloads are resolved; "" for none.
    """

    def __init__(self, *, fields: Mapping[str, Sequence[str]] | None = None, reader: str = "") -> None:
        self._paths: Paths = paths_of(fields or {})
        self._reader = reader
        self._compiled: dict[bytes, Compiled] = {}

    def missing(self, payloads: Iterable[bytes | None]) -> list[int]:
        """Numbers of schemas that must be added before these payloads can be decoded."""
        heads = {payload[:HEADER] for payload in payloads if payload is not None and is_framed(payload)}
        unknown = [head[1:] for head in heads if len(head) == HEADER and head[1:] not in self._compiled]
        return sorted(int.from_bytes(number) for number in unknown)

    def add(self, number: int, schema: SchemaText) -> Compiled:
        """What the registry says of a number. A schema that is none of a reading is added, too: it refuses payloads."""
        try:
            found = self.compile(schema)
        except Refused as refused:
            found = _refusing(refused.fault.reason, f"schema {number}: {refused.fault.detail}")
        self._compiled[number.to_bytes(4)] = found
        return found

    def compile(self, schema: SchemaText) -> Compiled:
        """Without adding it. Raises Refused when it cannot be that of a reading."""
        return compile_schema(schema, self._paths, reader=self._reader)

    def add_unknown(self, number: int) -> None:
        """The registry knows no schema of this number."""
        detail = f"schema {number}: the registry does not know it; is schemas.url the one the producer uses?"
        self._compiled[number.to_bytes(4)] = _refusing("unknown_schema", detail)

    def add_bad(self, number: int, why: str) -> None:
        """The registry has it, but it cannot be used."""
        self._compiled[number.to_bytes(4)] = _refusing("bad_schema", f"schema {number}: {why}")

    def forget(self, number: int) -> None:
        """Find out about it anew."""
        self._compiled.pop(number.to_bytes(4), None)

    def read(self, payload: bytes) -> Reading:
        """One payload that begins with MAGIC. Raises Refused, SchemaNotKnown."""
        compiled = self._compiled.get(payload[1:HEADER])
        if compiled is not None:
            return compiled.read(payload)
        if len(payload) < HEADER:
            raise Refused(Fault("schema_mismatch", "cut off before the number of its schema ends"))
        raise SchemaNotKnown(int.from_bytes(payload[1:HEADER]))


def is_framed(payload: bytes) -> bool:
    """Whether it begins as what a schema registry frames does; JSON and Arrow never do."""
    return payload[:1] == MAGIC


def compile_schema(schema: SchemaText, paths: Paths, *, reader: str = "") -> Compiled:
    """Raises Refused when it cannot be that of a reading."""
    # Each needs packages that only those who use it need to have.
    if schema.kind == "AVRO":
        from operators.decode_avro import compile_avro

        return compile_avro(schema, paths, reader=reader)
    if schema.kind == "PROTOBUF":
        from operators.decode_protobuf import compile_protobuf

        return compile_protobuf(schema, paths)
    from operators.decode_json_schema import compile_json_schema

    return compile_json_schema(schema, paths)


def bad_schema(detail: str) -> Refused:
    """A schema that cannot be a reading's."""
    return Refused(Fault("bad_schema", " ".join(detail.split())))


def mismatch(detail: str) -> Refused:
    """Bytes that do not fit their schema."""
    return Refused(Fault("schema_mismatch", " ".join(detail.split())))


def _refusing(reason: Reason, detail: str) -> Compiled:
    fault = Fault(reason, detail)

    def read(payload: bytes) -> Reading:
        raise Refused(fault)

    return Compiled(read, {})
