"""The manifest beside a .tflite file: which model it is, what it takes, what it gives, and how far to trust it."""

import datetime
import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from models.importing import KindError

SHIPPED = Path(__file__).parent / "artifacts" / "manifest.toml"

Text = Annotated[str, msgspec.Meta(min_length=1)]


class ManifestError(KindError):
    """A manifest, or the model it names, cannot be used; one line says why and what to do."""


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of a model's input. unit: for people."""

    name: Text
    unit: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of one .tflite file.

    name, version: stored with every score the model gives. Another version is another model.
    file, sha256: the model, beside the manifest, and its digest.
    features: what the model takes, in the order of its columns.
    scaling: "sensor" when it takes features scaled to each sensor's own past (0 .. 1; 0.5 is the sensor's mean, each
        1/8 further one of its standard deviations), "none" when it takes them as measured.
    output: "reconstruction" when it gives back what it took, the score then being how far it is off; "score" when it
        gives one column, larger for stranger readings.
    thresholds: raw scores with a meaning, for people; a flow calibrates scores itself.
    trained_on, training_seed, created, license: where it comes from.
    card: what it is good for, how good it was on what, and what it cannot do.
    """

    name: Text
    version: Text
    file: Text
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    features: Annotated[tuple[Input, ...], msgspec.Meta(min_length=1)]
    output: Literal["reconstruction", "score"]
    scaling: Literal["sensor", "none"] = "sensor"
    thresholds: dict[str, float] = {}
    trained_on: str = ""
    training_seed: int | None = None
    created: datetime.date | None = None
    license: str = ""
    card: str = ""

    @property
    def model(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In the order of the input's columns."""
        return tuple(one.name for one in self.features)


def read_manifest(path: Path) -> Manifest:
    """Raises ManifestError: no such file, not TOML, a field missing, unknown or wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = "give the path of a manifest.toml; `streamgauge train` writes one beside its model"
        raise ManifestError(f"manifest {path}: {error.strerror or error}; {hint}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"manifest {path}: not a text file; give the manifest.toml, not the model") from None
    try:
        return msgspec.convert(tomllib.loads(text), Manifest)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"manifest {path}: not valid TOML: {error}") from None
    except RecursionError:
        raise ManifestError(f"manifest {path}: nested too deeply") from None
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$")
        raise ManifestError(f"manifest {path}: {field.strip('.`') + ': ' if field else ''}{what}") from None


def read_model(manifest: Manifest, path: Path) -> bytes:
    """The .tflite file that the manifest at `path` names.

    Raises ManifestError: it is not there, not a TFLite model, or another one than the manifest was written for.
    """
    place = path.parent / manifest.file
    try:
        content = place.read_bytes()
    except OSError as error:
        raise ManifestError(f"{place}: {error.strerror or error}; it is the file named in {path}") from None
    if content[4:8] != b"TFL3":
        raise ManifestError(f"{place}: not a TFLite model, without the identifier TFL3; is it cut off?")
    if (found := hashlib.sha256(content).hexdigest()) != manifest.sha256:
        raise ManifestError(
            f"{place}: its sha256 is {found}, {path} says {manifest.sha256}: it is another model, or damaged; "
            "copy both files again, or write the new sha256, and another version, into the manifest"
        )
    return content


def write(manifest: Manifest, content: bytes, path: Path) -> None:
    """Write the model beside `path` and the manifest there, in this order; each is replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path.parent / manifest.file, content)
    _replace(path, as_toml(manifest).encode())


def as_toml(manifest: Manifest) -> str:
    """Text that `read_manifest` reads; fields that are not known are left out."""
    plain = {name: getattr(manifest, name) for name in manifest.__struct_fields__}
    card, features, thresholds = (plain.pop(name) for name in ("card", "features", "thresholds"))
    lines = [f"{name} = {_value(value)}" for name, value in plain.items() if value not in (None, "")]
    if card:
        lines += ['card = """', "\n".join(_value(line)[1:-1] for line in card.split("\n")) + '"""']
    for one in features:
        lines += ["", "[[features]]", f"name = {_value(one.name)}", f"unit = {_value(one.unit)}"]
    if thresholds:
        lines += ["", "[thresholds]", *(f"{_value(name)} = {_value(float(at))}" for name, at in thresholds.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """JSON's strings and numbers are TOML's too, but for the names of NaN and Infinity and for one character."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)
