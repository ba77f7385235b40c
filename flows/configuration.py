"""The only reader of configuration: TOML file, then environment, into one frozen `Settings`.

An environment variable overrides the file: STREAMGAUGE_KAFKA__BOOTSTRAP sets [kafka] bootstrap (two underscores step
into a table). Every mistake is a `SettingsError` of one line: field, value, what is allowed.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from flows.settings import Detector, Duration, Secret, Settings, SettingsError
from flows.settings_alerts import mistake
from flows.settings_secrets import HIDDEN, read_secret_files, shown
from operators.records import RULES

ENV_PREFIX = "STREAMGAUGE_"
DEFAULT_FILE = Path("streamgauge.toml")

_TOO_DEEP = "configuration: nested too deeply"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a file (`streamgauge.toml` here, when there is one) and the environment.

    Raises SettingsError with one line that names the field, its value and what is allowed.
    """
    raw = _read(path)
    _override(raw, environ)
    try:
        read_secret_files(raw, Settings)
        settings = msgspec.convert(raw, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(_one_line(_explain(error, raw))) from None
    except RecursionError:
        raise SettingsError(_TOO_DEEP) from None
    _check(settings)
    return settings


class Sourced(NamedTuple):
    """One setting as it is in force: dotted name, value for people (secrets hidden), where it comes from."""

    name: str
    shown: str
    source: Literal["default", "file", "environment"]


def sources(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Sourced]:
    """Every setting in force. Raises SettingsError as `load` does."""
    in_file = _leaves(_read(path))
    told: dict[str, Any] = {}
    _override(told, environ)
    in_environment = _leaves(told)
    found = []
    try:
        in_force = _leaves(_plain(load(path, environ)))
    except RecursionError:
        raise SettingsError(_TOO_DEEP) from None
    for name, value in in_force.items():
        source: Literal["default", "file", "environment"] = "default"
        if _given(name, in_environment):
            source = "environment"
        elif _given(name, in_file):
            source = "file"
        found.append(Sourced(name, str(value), source))
    return found


def _given(name: str, given: Mapping[str, Any]) -> bool:
    names = (name, f"{name}_file")  # of a secret
    return any(one in names or one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in given)


def _plain(value: Any, path: str = "") -> Any:
    if isinstance(value, msgspec.Struct):
        named = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {told: _plain(getattr(value, name), f"{path}.{told}".lstrip(".")) for told, name in named}
    if isinstance(value, dict):
        return {name: _plain(one, f"{path}.{name}") for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one, path) for one in value]
    return shown(path, value)


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and (value or not name):
        below = [_leaves(one, f"{name}.{key}" if name else key) for key, one in value.items()]
        return {path: leaf for leaves in below for path, leaf in leaves.items()}
    return {name: value}


def _read(path: Path | None) -> dict[str, Any]:
    file = path or DEFAULT_FILE
    if not file.exists():
        if path is not None:
            raise SettingsError(f"configuration file {path}: no such file")
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"configuration file {file}: not valid TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"configuration file {file}: nested too deeply") from None


def _override(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        try:
            f"{variable}{text}".encode()
        except UnicodeEncodeError:
            raise SettingsError(f"{_one_line(variable)}: not UTF-8 text") from None
        *tables, name = variable.removeprefix(ENV_PREFIX).lower().split("__")
        table = raw
        for step in tables:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise SettingsError(_one_line(f"{variable}: {step} is not a table in the configuration"))
        table[name] = _typed(text, old=table.get(name), tables=tables, name=name)


def _typed(text: str, *, old: Any, tables: list[str], name: str) -> Any:
    """Environment text as the type its field has: a TOML value where it parses as one other than text."""
    field_types = _field_types(tables)
    if isinstance(old, str) or field_types.get(name) in (str, Secret):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return tuple(text.split(",")) if name == "topics" else text


def _field_types(tables: list[str]) -> dict[str, Any]:
    struct: Any = Settings
    for step in tables:
        types = {f.name: f.type for f in msgspec.structs.fields(struct)}
        struct = types.get(step)
        if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
            return {}
    return {f.name: f.type for f in msgspec.structs.fields(struct)}


def _decode(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError("expected text")
        return Secret(value)
    raise NotImplementedError(kind)


def _explain(error: msgspec.ValidationError, raw: dict[str, Any]) -> str:
    message, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    value: Any = raw
    for step in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(step)] if isinstance(value, (list, tuple)) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            break
    else:
        if path and not isinstance(value, dict):
            hidden = shown(path, str(value)) == HIDDEN
            return f"{path} = {HIDDEN if hidden else repr(shown(path, value))}: {message}"
    return f"{path or 'configuration'}: {message}"


def _one_line(text: str) -> str:
    """With the names people gave as they are, but for what cannot be printed."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _check(settings: Settings) -> None:
    """What one field alone cannot say."""
    names = [w.name for w in settings.windows]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"windows.name = {name!r}: given twice; each window needs a name of its own")
    for window in settings.windows:
        if window.size.ms <= 0 or window.hop_ms <= 0:
            raise SettingsError(f"windows {window.name!r}: size and hop must be longer than 0")
        if window.hop_ms > window.size.ms:
            raise SettingsError(
                f"windows {window.name!r}: hop = {window.hop}: must be at most the size ({window.size}), "
                "else readings between windows would be lost"
            )
    quality = settings.quality
    if quality.evict_after and quality.evict_after < max(quality.forget_after, quality.dedup_horizon):
        raise SettingsError(
            f"quality.evict_after = '{quality.evict_after}': must be at least forget_after ({quality.forget_after}) "
            f'and dedup_horizon ({quality.dedup_horizon}), or "0s" for never'
        )
    if settings.worker.epoch.ms < 1000 or settings.worker.epoch.ms % 1000:
        raise SettingsError(f"worker.epoch = '{settings.worker.epoch}': must be whole seconds, at least 1s")
    traces = settings.observe.traces
    if traces and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", traces):
        raise SettingsError(f"observe.traces = {traces!r}: expected an address such as 'http://127.0.0.1:4318', or ''")
    if not settings.kafka.topics:
        raise SettingsError("kafka.topics = []: name at least one topic")
    names = [d.name for d in settings.detectors]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"detectors.name = {name!r}: given twice; each detector needs a name of its own")
    for detector in settings.detectors:
        _check_detector(detector)
    windows, detectors = (tuple(one.name for one in some) for some in (settings.windows, settings.detectors))
    if problem := mistake(settings.alerts, windows=windows, detectors=detectors):
        raise SettingsError(problem)


def _check_detector(detector: Detector) -> None:
    name, threshold = detector.name, detector.threshold
    if name in RULES:
        raise SettingsError(f"detectors.name = {name!r}: is the name of a built-in rule; choose another one")
    if detector.role == "rule" and threshold is None:
        raise SettingsError(f"detectors {name!r}: a rule needs a threshold for its raw score")
    if detector.role != "rule" and threshold is not None:
        raise SettingsError(
            f"detectors {name!r}: threshold = {threshold:g}: only a rule has one; a {detector.role} is calibrated, "
            "see verdict.false_alarms_per_week"
        )
