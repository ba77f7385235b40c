"""The hour of a reading, for what differs over the day and the week: where it lies among the hours of a profile."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Times

HOURS = 24
KINDS_OF_HOURS = 2 * HOURS
"""Hours of weekdays, then those of weekends."""

CIRCLES = ("hour_sin", "hour_cos", "day_sin", "day_cos")

Places = npt.NDArray[np.int64]
Profile = npt.NDArray[np.float32]


HOUR_MS = 3_600_000
SHORTEST_H = 1e-6


class When(NamedTuple):
    """Of the rows; places: where `CIRCLES` are among the features, none for UTC."""

    time_ms: Times
    features: Floats
    places: Places


def circle_places(feature_names: tuple[str, ...]) -> Places:
    """Where `CIRCLES` are among the features; none unless all of them are."""
    local = [feature_names.index(name) for name in CIRCLES if name in feature_names]
    return np.array(local if len(local) == len(CIRCLES) else [], np.int64)


@compiled
def hour_of(when: When, row: int) -> float:
    """0 .. 24 on weekdays, 24 .. 48 on weekends, in local time where it is known."""
    if len(when.places) == 0 or np.isnan(when.features[row, when.places[0]]):
        minute = when.time_ms[row] // 60_000
        day = (minute // 1440 + 3) % 7  # 1970-01-01 was a Thursday
    else:
        turn, week = _turn(when, row, 0), _turn(when, row, 2)
        minute = int(np.floor(turn * 1440 + 0.5))
        day = int(week * 7 + 1e-6) % 7  # a circle's end may come out just before its beginning
    return float(minute % 1440 / 60 + (HOURS if day >= 5 else 0))


@compiled
def _turn(when: When, row: int, first: int) -> float:
    """0 .. 1: where on its circle a sine and the cosine beside it stand."""
    sine, cosine = when.features[row, when.places[first]], when.features[row, when.places[first + 1]]
    return float(np.arctan2(sine, cosine) / (2 * np.pi) % 1.0)


@compiled
def neighbours(hour: float) -> tuple[int, int, float]:
    """The two entries of a profile whose middles an hour of 0 .. 48 lies between, and the weight of the second."""
    kind = HOURS if hour >= HOURS else 0
    place = hour - kind - 0.5
    first = int(np.floor(place))
    return kind + first % HOURS, kind + (first + 1) % HOURS, place - first


@compiled
def hours_passed(newest: Times, slot: int, now_ms: int) -> float:
    """Hours since a sensor's newest reading, at most one: what a reading weighs in a profile. It is the newest now."""
    passed = min(max((now_ms - newest[slot]) / HOUR_MS, SHORTEST_H), 1.0)
    newest[slot] = max(now_ms, newest[slot])
    return float(passed)


@compiled
def rate_of(profile: Profile, place: int, hours: float, most: float) -> float:
    """How far an entry moves towards a reading that weighs so many hours; profile[1] counts them, up to `most`."""
    known = min(profile[1, place] + hours, most)
    profile[1, place] = known
    return float(hours / known)
