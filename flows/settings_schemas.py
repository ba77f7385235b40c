"""Payloads that a schema registry frames: the section `[schemas]` of `flows.settings.Settings`."""

from typing import Annotated

import msgspec

from flows.settings_types import Duration, Secret, Section
from operators.schema_fields import FIELDS

_Names = str | tuple[str, ...]


class SchemaRegistry(Section, frozen=True):
    """A schema registry as Confluent's; readings in Avro, Protobuf or JSON Schema beside those without a schema.

    url: "http://host:port", several with commas; empty: none, and framed payloads are refused.
    username, password: of basic authentication; the password is better given in the environment.
    ca_file: who vouches for the registry's certificate, PEM; the usual authorities when empty. cert_file, key_file,
        key_password: who we are.
    timeout: for one answer.
    reader_schema: a file with an Avro schema to which Avro payloads are resolved, with its defaults and aliases; empty:
        each is read as it was written.
    fields: what a field of a reading is called in schemas, when it is not by its own name; dots between levels, of
        several names the first that is there; "" for a field that is not to be taken.
    """

    url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s]+)?$")] = ""
    username: str = ""
    password: Secret = Secret("")
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret = Secret("")
    timeout: Duration = Duration(5_000)
    reader_schema: str = ""
    fields: dict[str, _Names] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(self.fields.keys() - set(FIELDS)):
            raise ValueError(f"fields: a reading has no {', '.join(unknown)}; it has {', '.join(FIELDS)}")
        if not self.timeout:
            raise ValueError(f"timeout = {self.timeout}: must be longer than 0")

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Of fields that have other names, all they have."""
        return {name: (told,) if isinstance(told, str) else told for name, told in self.fields.items()}
