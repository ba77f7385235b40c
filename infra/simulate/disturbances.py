"""What goes wrong on the way: readings out of order, late, twice, contradicted; and messages that are no readings.

Each is a function of (seed, sensor, time), as the readings are.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.simulate import randomness
from infra.simulate.config import SimulationConfig
from infra.simulate.randomness import Floats, Ints
from infra.simulate.sensors import Sensors

Codes = npt.NDArray[np.uint8]

NONE, OUT_OF_ORDER, LATE, DUPLICATE, CONFLICT = range(5)

_FATE_SHARES = (0.45, 0.2, 0.25, 0.1)
"""How disturbed readings divide into out of order, late, duplicate, conflict."""

_DELAYS_MS = ((0, 0), (200, 6_000), (12_000, 20_000), (50, 5_000), (50, 5_000))
"""Smallest and largest delay per fate. Beside the default lateness of 10 s: out of order still counts, late is late."""

MAX_DELAY_MS = max(longest for _, longest in _DELAYS_MS)


@dataclass(frozen=True, slots=True)
class Fates:
    """What happens to readings; fate (n,) is one of the codes above, delay_ms (n,) that of the message it concerns.

    A late or disordered reading is itself delayed; a duplicate or a contradiction follows its reading after the delay.
    """

    fate: Codes
    delay_ms: Ints


class Disturbances:
    """Decides which readings are disturbed and which are followed by a broken message."""

    def __init__(self, config: SimulationConfig, sensors: Sensors) -> None:
        self.disorder = config.disorder
        self.bad_share = config.bad_share
        self._spike = sensors.spike
        self._fate_keys = sensors.keys ^ np.uint64(randomness.key("fate"))
        self._defect_keys = sensors.keys ^ np.uint64(randomness.key("defect"))

    def fates(self, sensor: Ints, time_ms: Ints) -> Fates:
        """The fates of readings; (n,)."""
        bits = randomness.draw(self._fate_keys[sensor], time_ms)
        chance = randomness.uniform(bits)
        borders = np.cumsum(_FATE_SHARES) * self.disorder
        fate = np.searchsorted(borders, chance, side="right") + 1
        fate[fate > CONFLICT] = NONE
        shortest, longest = np.array(_DELAYS_MS)[fate].T
        delay_ms = shortest + (randomness.uniform(randomness.mix(bits)) * (longest - shortest)).astype(np.int64)
        return Fates(fate.astype(np.uint8), delay_ms)

    def contradicted(self, sensor: Ints, value: Floats) -> Floats:
        """The other values that contradict these, before rounding."""
        return value + 0.5 * self._spike[sensor]

    def defects(self, sensor: Ints, time_ms: Ints) -> Codes:
        """Per reading 0, or 1 + the index into DEFECTS of the broken message that follows it; (n,)."""
        bits = randomness.draw(self._defect_keys[sensor], time_ms)
        chosen = randomness.uniform(bits) < self.bad_share
        kind = 1 + (randomness.uniform(randomness.mix(bits)) * len(DEFECTS)).astype(np.uint8)
        return np.where(chosen, kind, np.uint8(0)).astype(np.uint8)


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(good: bytes) -> bytes:
        fields = json.loads(good)
        change(fields)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    return apply


_YEAR_MS = 365 * 86_400_000

DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda good: good[: len(good) // 2],
    "not JSON": lambda good: b"temperature is fine",
    "empty": lambda good: b"",
    "not an object": lambda good: b"42",
    "value is text": _changed(lambda fields: fields.update(value="hot")),
    "value is null": _changed(lambda fields: fields.update(value=None)),
    "value is NaN": _changed(lambda fields: fields.update(value=float("nan"))),
    "value is missing": _changed(lambda fields: fields.pop("value")),
    "no sensor_id": _changed(lambda fields: fields.pop("sensor_id")),
    "time in seconds": _changed(lambda fields: fields.update(timestamp=fields["timestamp"] // 1000)),
    "a year ahead": _changed(lambda fields: fields.update(timestamp=fields["timestamp"] + _YEAR_MS)),
}
"""Kinds of broken messages: made from the payload of a good one."""
