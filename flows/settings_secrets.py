"""Secrets: read from files of their own, and hidden wherever settings are shown.

Every `Secret` field NAME can be given as NAME_file, the path of a file that holds it, as Docker and Kubernetes
mount secrets: [kafka] password_file in the file, STREAMGAUGE_KAFKA__PASSWORD_FILE in the environment.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from flows.settings_types import Secret, SettingsError

HIDDEN = "***"
_MOST_BYTES = 65_536
_LIKE_A_SECRET = re.compile(r"(?i)passw|passphrase|secret|token$|\.pem$|jaas|oauthbearer\.config")
"""Names of settings that hold one without being of that type: librdkafka's, a detector's own."""
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def read_secret_files(raw: dict[str, Any], struct: type[msgspec.Struct], path: str = "") -> None:
    """Put what the files hold in the place of their names, in configuration as it was read, down through its tables.

    Raises SettingsError for a file that cannot be read or holds no secret, and for a secret that is given twice.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for name, kind in fields.items():
        file = f"{name}_file"
        if kind is Secret and file not in fields and file in raw:
            where = f"{path}{file}"
            if raw.get(name):
                raise SettingsError(f"{where}: {path}{name} is given, too; keep one of them")
            raw[name] = _read(raw.pop(file), where)
        elif name in raw:
            _read_below(raw[name], kind, f"{path}{name}")


def _read_below(value: Any, kind: Any, path: str) -> None:
    if isinstance(value, dict) and _is_section(kind):
        read_secret_files(value, kind, f"{path}.")
    elif below := next((one for one in get_args(kind) if _is_section(one)), None):
        named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, one in named:
            _read_below(one, below, f"{path}.{step}")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _read(file: Any, where: str) -> str:
    if not isinstance(file, str):
        raise SettingsError(f"{where}: expected the path of a file")
    try:
        with Path(file).open("rb") as opened:
            held = opened.read(_MOST_BYTES + 1)
        text = held.decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise SettingsError(f"{where} = {file!r}: {why}; expected a file that holds the secret") from None
    if not text or len(held) > _MOST_BYTES:
        raise SettingsError(f"{where} = {file!r}: {'too long' if text else 'empty'}; expected the secret alone")
    return text


def shown(name: str, value: Any) -> Any:
    """A setting's value for people; dotted name. What is a secret by type, name or form (a login in an address) is not
    shown."""
    if isinstance(value, Secret) or (isinstance(value, str) and _LIKE_A_SECRET.search(name)):
        return HIDDEN if value else "(none)"
    if isinstance(value, str):
        text = _LOGIN.sub(HIDDEN, str(value))
        # Who knows the address of a webhook may often post to it.
        is_hook = name.startswith("notify.channels") and name.endswith(".url")
        return re.sub(r"(?<=://)([^/]+)/.+", rf"\1/{HIDDEN}", text) if is_hook else text
    return value


def secrets(value: Any, name: str = "") -> Iterator[str]:
    """Every text in settings that nobody may read. name: dotted, of the value."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            yield from secrets(getattr(value, field.name), f"{name}.{field.encode_name}".lstrip("."))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from secrets(one, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from secrets(one, name)
    elif isinstance(value, str) and value and shown(name, value) == HIDDEN:
        yield str(value)
