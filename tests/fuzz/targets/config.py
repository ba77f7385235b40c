"""streamgauge.toml and environment variables: settings, or one line that names what is wrong.

the text of the file, then for each variable a byte 0 and STREAMGAUGE_NAME=its text
"""

import re
from pathlib import Path

from flows.configuration import load, sources
from flows.parts import window_specs
from flows.settings import Settings, SettingsError
from operators.panes import pane_ms_of
from tests.fuzz.files import written

_SAMPLE = (Path(__file__).parents[3] / "streamgauge.toml").read_bytes()
_SECTIONS = re.split(rb"(?m)^(?=\[)", _SAMPLE)
SEEDS = [
    _SAMPLE,
    *_SECTIONS,
    b'[kafka]\npassword = "x"\0STREAMGAUGE_KAFKA__BOOTSTRAP=b:9092\0STREAMGAUGE_KAFKA__TOPICS=a,b',
    b"\0STREAMGAUGE_EVENT_TIME__LATENESS=20s\0STREAMGAUGE_CLICKHOUSE__PASSWORD=1\0STREAMGAUGE_WINDOWS=[]",
    b"\0STREAMGAUGE_KAFKA__CLIENT__SOCKET_TIMEOUT=1\0STREAMGAUGE_SENSOR_TYPES__CO2__MAX=5",
]
TOKENS = (
    *(b"\0STREAMGAUGE_", b"__", b"[[", b"]]", b" = ", b'"""', b"'''", b"{ a = 1 }", b"1e400", b"nan", b"-inf", b"0x1f"),
    *(b"1979-05-27T07:32:00Z", b'"' + b"9" * 400 + b'd"', b"[" * 2_000, b"a." * 500, b"{a=" * 300, b"\\u0000", b"true"),
    *(b"'0s'", b"99999999999999999999", b"\xff", b"\xef\xbb\xbf", b"\r", *Settings.__struct_fields__),
)
TOKENS = tuple(token.encode() if isinstance(token, str) else token for token in TOKENS)


def check(data: bytes) -> str:
    """AssertionError when a mistake is not told as people can use it."""
    text, *variables = data.split(b"\0")
    environ = dict(_variable(one) for one in variables)
    file = written(text, ".toml")
    try:
        settings = load(file, environ)
        assert sources(file, environ)
    except SettingsError as error:
        _judge(str(error), file, data)
        return "refused"
    assert not settings.windows or pane_ms_of(window_specs(settings)) > 0
    return "loaded"


def _variable(one: bytes) -> tuple[str, str]:
    name, _, value = one.decode("utf-8", "surrogateescape").partition("=")
    return name, value


def _judge(message: str, file: Path, data: bytes) -> None:
    assert message
    assert message.isprintable(), f"not one line: {message!r}"
    if message.startswith((f"configuration file {file}: ", "STREAMGAUGE_")):
        return
    place, _, why = message.partition(":")
    assert why, message
    field = re.split(r"[ .=\[]", place)[0]
    assert field == "configuration" or field in Settings.__struct_fields__, f"names no field: {message}"
