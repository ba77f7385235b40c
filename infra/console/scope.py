"""What a page is asked about: a time range and a choice of locations, types, sensors; as conditions for SQL."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from infra.http.answers import Problem
from operators.timestamps import to_ms

POINTS = 300
"""A line has about so many points: more than a chart has room for helps nobody."""

MAX_SPAN_MS = 400 * 86_400_000
MAX_CHOSEN = 50
"""Values of one filter."""

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """from_ms <= event time < to_ms, epoch milliseconds. Empty filters choose everything.

    live: the range ends now.
    """

    from_ms: int
    to_ms: int
    locations: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    live: bool = False

    @property
    def span_ms(self) -> int:
        """Length of the range."""
        return self.to_ms - self.from_ms

    def bucket_ms(self, points: int = POINTS, *, least_ms: int = 1_000) -> int:
        """A round length of time that cuts the range into no more than so many points, and is no shorter than that."""
        for step_s in _STEPS_S:
            if step_s * 1_000 >= least_ms and self.span_ms <= step_s * 1_000 * points:
                return step_s * 1_000
        days = -(-self.span_ms // (points * 86_400_000))
        return max(days, 1) * 86_400_000

    def during(self, column: str = "time") -> str:
        """A condition: the column lies in the range."""
        return (
            f"{column} >= fromUnixTimestamp64Milli({{from_ms:Int64}}) "
            f"AND {column} < fromUnixTimestamp64Milli({{to_ms:Int64}})"
        )

    def chosen(self, *, sensor: str | None = "sensor_id", alias: str = "") -> str:
        """A condition on the columns location, sensor_type and sensor_id; `true` when everything is chosen.

        sensor: what the column is called, None where rows have no sensor. alias: of the table, where a column of the
        result has the same name.
        """
        wanted = [("location", "locations", self.locations), ("sensor_type", "types", self.types)]
        if sensor is not None:
            wanted.append((sensor, "sensors", self.sensors))
        table = f"{alias}." if alias else ""
        return (
            " AND ".join(f"{table}{column} IN {{{name}:Array(String)}}" for column, name, some in wanted if some)
            or "true"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Of `during` and `chosen`."""
        return {
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "locations": list(self.locations),
            "types": list(self.types),
            "sensors": list(self.sensors),
        }


def read_scope(given: Mapping[str, Sequence[str]], *, now_ms: int) -> Scope:
    """From the parameters of a request: from, to, location, type, sensor; the filters may be given several times.

    from, to: "now", "now-15m", RFC 3339 or epoch milliseconds. Raises Problem.
    """
    from_text, to_text = _one(given, "from", "now-15m"), _one(given, "to", "now")
    from_ms, to = _moment(from_text, "from", now_ms), _moment(to_text, "to", now_ms)
    if from_ms >= to:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "from: must lie before `to`")
    if to - from_ms > MAX_SPAN_MS:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "from, to: more than 400 days; ask for less")
    return Scope(
        from_ms=from_ms,
        to_ms=to,
        locations=_some(given, "location"),
        types=_some(given, "type"),
        sensors=_some(given, "sensor"),
        live=to_text == "now",
    )


def _one(given: Mapping[str, Sequence[str]], name: str, default: str) -> str:
    return given[name][-1] if given.get(name) else default


def _some(given: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one for one in given.get(name, ()) if one))
    if len(found) > MAX_CHOSEN:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: at most {MAX_CHOSEN} can be chosen at a time")
    return found


def _moment(text: str, name: str, now_ms: int) -> int:
    ago = re.fullmatch(r"now(?:-(\d{1,6})([smhd]))?", text)
    if ago is not None:
        # Whole seconds, so that what several people look at is the same question.
        now_ms = -(-now_ms // 1_000) * 1_000
        return now_ms - (int(ago[1]) * _UNITS_MS[ago[2]] if ago[1] else 0)
    number = text.removeprefix("-")
    (moment,), faults = to_ms([int(text) if number.isascii() and number.isdigit() else text])
    if faults:
        said = f'{faults[0].detail.replace("timestamp", name, 1)}; or "now", "now-15m"'
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, said)
    return int(moment)
