"""The sensor registry as a file: CSV with a header line, or TOML with one [[sensors]] table per sensor.

sensor_id,sensor_type,location,asset_id,unit,min,max,interval,time_zone
press-7,temperature,hall 2,press,°C,-10,80,5s,Europe/Berlin
"""

import csv
import re
import tomllib
from collections.abc import Iterator
from math import isfinite, nan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from operators.registry import SensorInfo

COLUMNS = ("sensor_id", "sensor_type", "location", "asset_id", "unit", "min", "max", "interval", "time_zone")
"""Only sensor_id is needed; what is left out or empty is not said."""

_MAX_TEXT = 256
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class RegistryError(Exception):
    """The registry file is wrong; the message says where, which field, which value, what is allowed."""


def read_file(path: Path) -> dict[str, SensorInfo]:
    """Sensors by id. Raises RegistryError with one line."""
    try:
        entries = dict(_toml(path) if path.suffix == ".toml" else _csv(path))
    except FileNotFoundError:
        raise RegistryError(f"registry file {path}: no such file") from None
    except OSError as error:
        raise RegistryError(f"registry file {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RegistryError(f"registry file {path}: not UTF-8 text: byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"registry file {path}: {error}") from None
    except RecursionError:
        raise RegistryError(f"registry file {path}: nested too deeply") from None
    sensors: dict[str, SensorInfo] = {}
    for place, entry in entries.items():
        try:
            sensor_id = _text(entry, "sensor_id")
            if not sensor_id:
                raise ValueError("sensor_id: is missing; every sensor needs its own")
            if sensor_id in sensors:
                raise ValueError(f"sensor_id = {sensor_id!r}: given twice")
            sensors[sensor_id] = _sensor(entry)
        except ValueError as error:
            raise RegistryError(f"registry file {path}, {place}: {error}") from None
    return sensors


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place in the file, fields) of every row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            _check_names(path, "line 1", header)
            if "sensor_id" not in header:
                expected = ",".join(COLUMNS)
                raise RegistryError(f"registry file {path}, line 1: no column sensor_id; expected {expected}")
            for row in rows:
                if not "".join(row).strip():
                    continue
                place = f"line {rows.line_num}"
                if len(row) != len(header):
                    raise RegistryError(
                        f"registry file {path}, {place}: {len(row)} fields, but the header has {len(header)}"
                    )
                yield place, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise RegistryError(f"registry file {path}, line {rows.line_num}: {error}") from None


def _toml(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = content.pop("sensors", [])
    if content or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        found = ", ".join(content) or "sensors"
        raise RegistryError(f"registry file {path}: {found}: only [[sensors]] tables are allowed")
    for number, table in enumerate(tables, 1):
        place = f"sensor {number}"
        _check_names(path, place, list(table))
        yield place, table


def _check_names(path: Path, place: str, names: list[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise RegistryError(f"registry file {path}, {place}: {name!r}: allowed are {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise RegistryError(f"registry file {path}, {place}: {name!r}: given twice")


def _sensor(entry: dict[str, Any]) -> SensorInfo:
    low, high = _number(entry, "min"), _number(entry, "max")
    if low > high:
        raise ValueError(f"min = {low:g}: must not be above max = {high:g}")
    return SensorInfo(
        _text(entry, "sensor_type"),
        _text(entry, "location"),
        _text(entry, "asset_id"),
        _text(entry, "unit"),
        low,
        high,
        _interval_ms(entry),
        _time_zone(entry),
    )


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str) or len(value.strip()) > _MAX_TEXT:
        raise ValueError(f"{name} = {value!r}: expected text of at most {_MAX_TEXT} characters")
    return value.strip()


def _number(entry: dict[str, Any], name: str) -> float:
    value = entry.get(name, "")
    if isinstance(value, str) and not value.strip():
        return nan
    try:
        number = nan if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"{name} = {value!r}: expected a number")
    return number


def _interval_ms(entry: dict[str, Any]) -> float:
    text = _text(entry, "interval")
    if not text:
        return nan
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|d)", text)
    if match is None or not float(match[1]):
        raise ValueError(f'interval = {text!r}: expected a duration with its unit, such as "500ms", "10s" or "5m"')
    return float(match[1]) * _UNITS_MS[match[2]]


def _time_zone(entry: dict[str, Any]) -> str:
    name = _text(entry, "time_zone")
    try:
        if name:
            ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"time_zone = {name!r}: expected an IANA name such as Europe/Berlin, or nothing for UTC"
        ) from None
    return name
