"""The registry file: CSV and TOML say the same; a mistake is one line with its place, field and value."""

from math import isnan
from pathlib import Path

import pytest

from infra.registry import COLUMNS, RegistryError, read_file
from operators.registry import SensorInfo

HEADER = ",".join(COLUMNS)

CSV = f"""{HEADER}
press-7,temperature,"hall 2, left",press,°C,-10,80.5,5s,Europe/Berlin

bare,,,,,,,,
"""

TOML = """
[[sensors]]
sensor_id = "press-7"
sensor_type = "temperature"
location = "hall 2, left"
asset_id = "press"
unit = "°C"
min = -10
max = 80.5
interval = "5s"
time_zone = "Europe/Berlin"

[[sensors]]
sensor_id = "bare"
"""


def write(tmp_path: Path, text: str | bytes, name: str = "sensors.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"), [("s.csv", CSV), ("s.csv", "\ufeff" + CSV.replace("\n", "\r\n")), ("s.toml", TOML)]
)
def test_both_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    sensors = read_file(write(tmp_path, text, name))
    assert list(sensors) == ["press-7", "bare"]
    assert sensors["press-7"] == SensorInfo(
        "temperature", "hall 2, left", "press", "°C", -10, 80.5, 5_000, "Europe/Berlin"
    )
    bare = sensors["bare"]
    assert (bare.sensor_type, bare.unit, bare.time_zone) == ("", "", "")
    assert isnan(bare.min_value)
    assert isnan(bare.interval_ms)


def test_columns_may_be_few_and_in_any_order(tmp_path: Path) -> None:
    sensors = read_file(write(tmp_path, "location, sensor_id\nlab, a\n"))
    assert sensors["a"].location == "lab"
    assert read_file(write(tmp_path, "", "empty.toml")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column sensor_id; expected sensor_id,sensor_type,"),
        ("sensor_id,colour\n", "line 1: 'colour': allowed are sensor_id,"),
        ("sensor_id,unit,unit\n", "line 1: 'unit': given twice"),
        ("sensor_id,unit\na\n", "line 2: 1 fields, but the header has 2"),
        ("sensor_id,unit\na,K\n,K\n", "line 3: sensor_id: is missing; every sensor needs its own"),
        ("sensor_id\na\nb\na\n", "line 4: sensor_id = 'a': given twice"),
        ("sensor_id,min\na,low\n", "line 2: min = 'low': expected a number"),
        ("sensor_id,max\na,inf\n", "line 2: max = 'inf': expected a number"),
        ("sensor_id,min,max\na,2,1\n", "line 2: min = 2: must not be above max = 1"),
        ("sensor_id,interval\na,5\n", "line 2: interval = '5': expected a duration with its unit, such as"),
        ("sensor_id,interval\na,0s\n", "line 2: interval = '0s': expected a duration with its unit, such as"),
        ("sensor_id,time_zone\na,Mars\n", "line 2: time_zone = 'Mars': expected an IANA name such as Europe/Berlin"),
        (f"sensor_id\n{'x' * 257}\n", f"line 2: sensor_id = '{'x' * 257}': expected text of at most 256 characters"),
        ('sensor_id\n"a', "line 2: unexpected end of data"),
        (b"sensor_id\n\xff\n", "not UTF-8 text: byte 10"),
    ],
)
def test_a_mistake_in_csv_names_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RegistryError) as mistake:
        read_file(path)
    assert str(mistake.value).startswith(f"registry file {path}")
    assert message in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[sensors]]\nsensor_id = 1", "sensor 1: sensor_id = 1: expected text"),
        ('[[sensors]]\nsensor_id = "a"\nmin = true', "sensor 1: min = True: expected a number"),
        ('[[sensors]]\nsensor_id = "a"\ncolour = 1', "sensor 1: 'colour': allowed are"),
        ("[sensor]\n", "sensor: only [[sensors]] tables are allowed"),
        ("sensors = 3\n", "sensors: only [[sensors]] tables are allowed"),
        ("[[sensors]\n", "line 1"),
    ],
)
def test_a_mistake_in_toml_names_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RegistryError) as mistake:
        read_file(write(tmp_path, text, "sensors.toml"))
    assert message in str(mistake.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no such file"):
        read_file(tmp_path / "none.csv")
    with pytest.raises(RegistryError, match="directory"):
        read_file(tmp_path)
