"""The schema registry by the settings."""

from pathlib import Path

from flows.settings import Settings, SettingsError
from infra.kafka.schemas import RegistryPlace, SchemaSource
from operators.framed import Schemas


def registry_place(settings: Settings) -> RegistryPlace:
    """The configured registry."""
    asked = settings.schemas
    return RegistryPlace(
        url=asked.url,
        username=asked.username,
        password=str(asked.password),
        ca_file=asked.ca_file,
        cert_file=asked.cert_file,
        key_file=asked.key_file,
        key_password=str(asked.key_password),
        timeout_s=asked.timeout.ms / 1000,
    )


def no_schemas_yet(settings: Settings) -> Schemas:
    """To be filled. Raises SettingsError."""
    file = settings.schemas.reader_schema
    try:
        reader = Path(file).read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise SettingsError(f"schemas.reader_schema = {file!r}: {why}; expected a file with an Avro schema") from None
    return Schemas(fields=settings.schemas.names, reader=reader)


def schema_source(settings: Settings) -> SchemaSource | None:
    """What finds out about schemas; None without a registry. Raises SettingsError, KafkaFailure."""
    return SchemaSource(registry_place(settings), no_schemas_yet(settings)) if settings.schemas.url else None
