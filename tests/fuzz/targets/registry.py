"""A registry file: sensors, or one line that says where it is wrong. The first byte chooses CSV or TOML."""

from infra.registry import RegistryError, read_file
from tests.fuzz.files import judge, written

_CSV = """sensor_id,sensor_type,location,asset_id,unit,min,max,interval,time_zone
press-7,temperature,hall 2,press,°C,-10,80,5s,Europe/Berlin
"quoted, ""7\""",,,,,,,,
"""
_TOML = """[[sensors]]
sensor_id = "press-7"
min = -10
max = 80.5
interval = "500ms"
time_zone = "UTC"
[[sensors]]
sensor_id = "press-8"
location = "hall 2"
"""
SEEDS = [b"c" + _CSV.encode(), b"c\xef\xbb\xbfsensor_id\na\n", b"t" + _TOML.encode()]
TOKENS = (
    *(b"time_zone", b"Europe/Berlin", b"../etc/passwd", b"/etc", b"a" * 300, b"\0", b"Europe", b"tzdata.zi", b"."),
    *(b'"', b"\r", b"\n", b",", b"1e400", b"nan", b"1_0", b"9" * 400, b"9" * 400 + b"d", b"0.0s", b"[" * 2_000),
    *(
        b"[[sensors]]\n",
        b"[sensors]\n",
        b" = ",
        b"sensor_id",
        b"min",
        b"interval",
        b"{a=" * 300,
        b"\xff",
        b"\xe2\x80\xa8",
    ),
)


def check(data: bytes) -> str:
    """AssertionError when a mistake is not one line, or a number is none."""
    file = written(data[1:], ".toml" if data[:1] == b"t" else ".csv")
    try:
        sensors = read_file(file)
    except RegistryError as error:
        judge(error, file)
        return "refused"
    for sensor_id, info in sensors.items():
        assert 0 < len(sensor_id) <= 256
        assert not info.interval_ms <= 0
        assert info.interval_ms != float("inf")
        assert not info.min_value > info.max_value
    return "read" if sensors else "empty"
