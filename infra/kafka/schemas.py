"""The schema registry: what the numbers in framed payloads stand for, found out beside the flow, never in its way."""

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from infra.kafka.client import KafkaFailure
from infra.kafka.outage import Outage
from operators.framed import Kind, Schemas, SchemaText

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

_UNKNOWN_SCHEMA, _UNKNOWN_SUBJECT, _UNKNOWN_VERSION = 40403, 40401, 40402
_NOT_NOW = (408, 425, 429)
_ASK_AGAIN_S = 60.0
"""After so long a number that the registry did not know is asked for anew."""
_KINDS: tuple[Kind, ...] = ("AVRO", "PROTOBUF", "JSON")

logger = logging.getLogger(__name__)


class SchemaFailure(KafkaFailure):
    """Something about the schema registry that a user can act on, and that waiting does not heal."""


class RegistryAway(SchemaFailure):
    """It does not answer, or not now; it may later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryPlace:
    """Where a schema registry is, and as whom to speak to it. url: several with commas. Files are PEM."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    timeout_s: float = 5.0

    @property
    def name(self) -> str:
        """For people: without a login that is part of it."""
        return re.sub(r"(?<=://)[^/@\s,]+@", "", self.url)

    @contextmanager
    def client(self) -> Iterator["SchemaRegistryClient"]:
        """Asks a few times within a second or so before it gives up. Raises SchemaFailure."""
        if find_spec("fastavro") is None or find_spec("httpx") is None:
            raise SchemaFailure("a schema registry needs more packages: pip install 'streamgauge[schemas]'")
        from confluent_kafka.schema_registry import SchemaRegistryClient

        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.cert_file,
            "ssl.key.location": self.key_file,
            "ssl.key.password": self.key_password,
        }
        config: dict[str, Any] = {name: text for name, text in files.items() if text}
        if self.username:
            config["basic.auth.user.info"] = f"{self.username}:{self.password}"
        config |= {"url": self.url, "timeout": self.timeout_s, "max.retries": 2, "retries.wait.ms": 100}
        try:
            # Says every request.
            logging.getLogger("httpx").setLevel(logging.WARNING)
            client = SchemaRegistryClient(config)
        except (ValueError, TypeError, OSError) as error:  # an SSLError is an OSError
            raise SchemaFailure(f"[schemas]: {error}; check url and the files") from None
        with client:
            yield client

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the client raises into SchemaFailure; what may heal is RegistryAway."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            yield
        except SchemaFailure:
            raise
        except SchemaRegistryError as error:
            raise self._refused(error) from error
        except Exception as error:  # whichever HTTP client it uses, and answers that are none of a registry
            if certificate := _of_ssl(error):
                raise SchemaFailure(
                    f"the schema registry at {self.name}: TLS: {certificate}; check schemas.ca_file, cert_file and url"
                ) from error
            said = str(error) or type(error).__name__
            raise RegistryAway(
                f"the schema registry at {self.name} does not answer: is it running, and is schemas.url right? ({said})"
            ) from error

    def _refused(self, error: Any) -> SchemaFailure:
        status, said = error.http_status_code, error.error_message
        if status in (401, 403):
            return SchemaFailure(
                f"the schema registry at {self.name} refuses: {status} {said}: check schemas.username and password"
            )
        if status >= 500 or status in _NOT_NOW:
            return RegistryAway(f"the schema registry at {self.name} cannot answer now: {status} {said}")
        return SchemaFailure(
            f"the schema registry at {self.name}: {status} {said}; is schemas.url right, with its path?"
        )


def _of_ssl(error: BaseException | None) -> str:
    """What was wrong with a certificate, among the causes of an error; "" for nothing."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message or str(error)
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return str(error)
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def registry(place: RegistryPlace) -> Iterator["Registry"]:
    """To ask. Raises SchemaFailure."""
    with place.client() as client:
        yield Registry(place, client)


class Registry:
    """Asks. For one thread at a time."""

    def __init__(self, place: RegistryPlace, client: "SchemaRegistryClient") -> None:
        self.place = place
        self._client: Any = client

    def schema(self, number: int) -> SchemaText | None:
        """What a number stands for; None when the registry does not know. Raises SchemaFailure, MissingReference."""
        found = self._ask(lambda: self._client.get_schema(number), _UNKNOWN_SCHEMA)
        if found is not None and found.schema_type == "PROTOBUF":
            self._client.clear_caches()  # which do not tell formats apart
            found = self._ask(lambda: self._client.get_schema(number, fmt="serialized"), _UNKNOWN_SCHEMA)
        return None if found is None else self._text(found)

    def latest(self, subject: str) -> tuple[int, int, SchemaText] | None:
        """Number, version and schema of a subject; None when there is none. Raises as `schema` does."""
        found = self._ask(lambda: self._client.get_latest_version(subject), _UNKNOWN_SUBJECT, _UNKNOWN_VERSION)
        if found is None:
            return None
        schema = self.schema(found.schema_id)
        return None if schema is None else (found.schema_id, found.version, schema)

    def subjects(self) -> list[str]:
        """All there are. Raises SchemaFailure."""
        with self.place.explained():
            names: list[str] = self._client.get_subjects()
            return names

    def _ask(self, question: Callable[[], Any], *unknown: int) -> Any:
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        with self.place.explained():
            try:
                return question()
            except SchemaRegistryError as error:
                if error.http_status_code == 404 and error.error_code in unknown:
                    return None
                raise

    def _text(self, schema: Any) -> SchemaText:
        kind = schema.schema_type or "AVRO"
        if kind not in _KINDS:
            raise MissingReference(f"is of the type {kind}; there are {', '.join(_KINDS)}")
        references: dict[str, str] = {}
        self._refer(schema, kind, references)
        return SchemaText(kind, schema.schema_str or "", tuple(references.items()))

    def _refer(self, schema: Any, kind: Kind, found: dict[str, str]) -> None:
        fmt = "serialized" if kind == "PROTOBUF" else None
        for one in schema.references or ():
            if one.name in found or (kind == "PROTOBUF" and one.name.startswith("google/protobuf/")):
                continue
            ask = partial(self._client.get_version, one.subject, one.version, True, fmt)
            other = self._ask(ask, _UNKNOWN_SUBJECT, _UNKNOWN_VERSION)
            if other is None:
                raise MissingReference(f"refers to {one.subject} version {one.version}, which the registry has not")
            self._refer(other.schema, kind, found)
            found[one.name] = other.schema.schema_str or ""


class MissingReference(Exception):
    """A schema of which something is missing, or that is of a kind we do not read."""


class SchemaSource:
    """Fills `schemas` as payloads need them, in a thread of its own. `ready` is for one thread.

    Raises SchemaFailure for a place that cannot be one.
    """

    def __init__(self, place: RegistryPlace, schemas: Schemas) -> None:
        with place.client():
            self._place = place
        self.schemas = schemas
        self._outage = Outage("the schema registry")
        self._unknown_s: dict[int, float] = {}
        self._asking: threading.Thread | None = None
        self._problem: SchemaFailure | None = None

    def ready(self, payloads: Iterable[bytes | None]) -> bool:
        """Whether the schemas of all of them are known; else they are asked for, and the payloads have to wait.

        Raises SchemaFailure when waiting is of no use.
        """
        now_s = time.monotonic()
        for number in [one for one, at_s in self._unknown_s.items() if now_s - at_s > _ASK_AGAIN_S]:
            del self._unknown_s[number]
            self.schemas.forget(number)
        missing = self.schemas.missing(payloads)
        if not missing:
            return True
        if self._problem is not None:
            raise self._problem
        if (self._asking is None or not self._asking.is_alive()) and self._outage.may_ask():
            self._asking = threading.Thread(target=self._find_out, args=(missing,), name="schemas", daemon=True)
            self._asking.start()
        return False

    def wait(self, timeout_s: float) -> None:
        """For the answer to what was asked last."""
        if self._asking is not None:
            self._asking.join(timeout_s)

    def _find_out(self, numbers: list[int]) -> None:
        try:
            with registry(self._place) as asked:
                for number in numbers:
                    self._add(number, asked)
            self._outage.end("schemas")
        except RegistryAway as away:
            self._outage.begin("schemas", away)
        except SchemaFailure as problem:
            self._problem = problem

    def _add(self, number: int, asked: Registry) -> None:
        try:
            schema = asked.schema(number)
        except MissingReference as missing:
            self.schemas.add_bad(number, str(missing))
            return
        if schema is None:
            logger.warning("the schema registry does not know schema %d: payloads that name it are refused", number)
            self._unknown_s[number] = time.monotonic()
            self.schemas.add_unknown(number)
            return
        fields = self.schemas.add(number, schema).fields
        told = ", ".join(f"{ours} = {theirs}" for ours, theirs in fields.items())
        logger.info("schema %d: %s with %s", number, schema.kind, told or "no field of a reading")
