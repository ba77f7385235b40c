"""`streamgauge check`: the schema registry, and whether the schemas of the topics are those of readings."""

from flows.commands.findings import Findings
from flows.schemas import no_schemas_yet, registry_place
from flows.settings import Settings, SettingsError
from infra.kafka.schemas import MissingReference, Registry, registry
from operators.framed import Compiled, Refused
from operators.schema_fields import REQUIRED


def check_schemas(findings: Findings, settings: Settings) -> None:
    """Reached? And of each topic the newest schema of its values, by the usual name of the subject."""
    place = registry_place(settings)
    with findings.looking_at(f"schema registry at {place.name}") as say, registry(place) as asked:
        subjects = asked.subjects()
        say(f"{len(subjects)} subjects")
        for topic in settings.kafka.topics:
            subject = f"{topic}-value"
            if subject in subjects:
                _check_subject(findings, asked, settings, subject)
            else:
                findings.warn(f"topic {topic}: the registry has no subject {subject}; are its payloads plain JSON?")


def _check_subject(findings: Findings, asked: Registry, settings: Settings, subject: str) -> None:
    with findings.looking_at(f"schema {subject}") as say:
        try:
            found = asked.latest(subject)
            if found is None:
                raise SettingsError("has no version any more")
            number, version, schema = found
            compiled = no_schemas_yet(settings).compile(schema)
        except (Refused, MissingReference) as problem:
            raise SettingsError(str(problem)) from None
        say(f"{schema.kind}, version {version}, id {number}: {_fields(compiled)}")


def _fields(compiled: Compiled) -> str:
    fields = compiled.fields
    if missing := [name for name in REQUIRED if name not in fields]:
        raise SettingsError(
            f"has no {', '.join(missing)}: [schemas.fields] can say what it is called; it has {_told(compiled)}"
        )
    return _told(compiled)


def _told(compiled: Compiled) -> str:
    told = [ours if ours == theirs else f"{ours} ({theirs})" for ours, theirs in compiled.fields.items()]
    return ", ".join(told) or "nothing of a reading"
