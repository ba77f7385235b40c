"""Any text as any setting: it is taken, or told in one line that names the setting; secrets never are."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.configuration import load
from flows.settings import Settings, SettingsError
from tests.fuzz.files import written


def _names(struct: Any, before: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        name = f"{before}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _names(field.type, f"{name}.")
        else:
            yield name


NAMES = list(_names(Settings))
_values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["[]", "[[]]", "{}", "{a = 1}", "true", "1979-05-27", "''", '"0s"', '"1e9d"', "-1", "[1, 2]", "nan"]
    ),
)


@given(st.sampled_from(NAMES), _values)
def test_a_setting_is_taken_or_named(name: str, text: str) -> None:
    variable = "STREAMGAUGE_" + name.replace(".", "__").upper()
    told = _told(b"", {variable: text})
    table, _, field = name.rpartition(".")
    assert told is None or field in told or table.partition(".")[0] in told
    _told(_as_toml(name, text))


def _told(file: bytes, environ: Mapping[str, str] | None = None) -> str | None:
    """What is said of these settings, one line; None when they are taken."""
    try:
        load(written(file, ".toml"), environ or {})
    except SettingsError as error:
        told = str(error)
    else:
        return None
    assert told.isprintable()
    return told


def _as_toml(name: str, text: str) -> bytes:
    table, _, field = name.rpartition(".")
    return (f"[{table}]\n" if table else "").encode() + f"{field} = {text}\n".encode()


@pytest.mark.parametrize("name", ["kafka.password", "clickhouse.password"])
@given(st.integers(10**15, 10**18), st.sampled_from(["{}", "'{}'", "[{}]", "['{}']", "{{ a = '{}' }}"]))
def test_a_secret_is_never_shown(name: str, secret: int, form: str) -> None:
    assert str(secret) not in (_told(_as_toml(name, form.format(secret))) or "")


def test_all_settings_are_tried() -> None:
    assert {"kafka.bootstrap", "event_time.lateness", "clickhouse.retention.readings", "windows"} <= set(NAMES)
