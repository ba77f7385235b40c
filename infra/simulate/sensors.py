"""The simulated sensors: who they are and what they show when nothing is wrong."""

import math
from functools import cache

import numpy as np

from infra.simulate import randomness
from infra.simulate.config import SimulationConfig
from infra.simulate.randomness import Floats, Ints
from operators.batches import Series

MACHINES = {
    "server_room": "rack",
    "office": "room",
    "warehouse": "bay",
    "laboratory": "bench",
    "factory_floor": "machine",
}
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_WANDER_MS = 6 * 3_600_000


def series(config: SimulationConfig) -> list[Series]:
    """The sensors, spread evenly over types and locations; more sensors never change the first ones."""
    models, locations = list(config.models.items()), config.locations
    combinations = len(models) * len(locations)
    sensors = []
    for i in range(config.sensors):
        number, k = divmod(i, combinations)
        row, column = divmod(k, len(models))
        sensor_type, model = models[column]
        # Shifting each row by one brings every type to every location, and already few sensors to all of them.
        location = locations[(row + column) % len(locations)]
        suffix = f"{number + 1:02d}"
        asset_id = f"{location}-{MACHINES.get(location, 'unit')}-{suffix}"
        sensors.append(Series(f"{sensor_type}-{location}-{suffix}", sensor_type, location, asset_id, model.unit))
    return sensors


class Sensors:
    """All sensors at once: arrays of one entry per sensor, and their readings at any time.

    A value is a function of (seed, sensor id, time) alone.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.series = series(config)
        models = [config.models[s.sensor_type] for s in self.series]
        self.keys = _keys(config.seed, "sensor", self.series)
        self.noise = np.array([m.noise for m in models])
        self.spike = np.array([m.spike for m in models])
        self._noise_keys = _keys(config.seed, "noise", self.series)
        self._wander_keys = _keys(config.seed, "wander", self.series)
        self._drift = np.array([m.drift for m in models])
        located = zip(models, self.series, strict=True)
        self._level = np.array([m.baseline_by_location.get(s.location, m.baseline) for m, s in located])
        self._level += self._drift * (2 * randomness.uniform(self.keys) - 1)
        self._amplitude = np.array([m.daily_amplitude for m in models])
        self._peak_ms = np.array([round(m.peak_hour * 3_600_000) for m in models])
        self._min = np.array([m.min for m in models])
        self._max = np.array([m.max for m in models])
        self._scale = np.array([10.0**m.decimals for m in models])

    def __len__(self) -> int:
        return len(self.series)

    def healthy(self, sensor: Ints, time_ms: Ints) -> Floats:
        """What sensors show at times when nothing is wrong, before rounding; (n,) each."""
        value = self._level[sensor]
        minute = (time_ms - self._peak_ms[sensor]) % _DAY_MS // _MINUTE_MS
        value += self._amplitude[sensor] * _daily_cycle()[minute]
        value += self._drift[sensor] * self._wander(sensor, time_ms)
        value += self.noise[sensor] * self.jitter(sensor, time_ms)
        return value

    def jitter(self, sensor: Ints, time_ms: Ints) -> Floats:
        """The standard normal noise of readings; (n,)."""
        return randomness.normal(randomness.draw(self._noise_keys[sensor], time_ms))

    def shown(self, sensor: Ints, value: Floats) -> Floats:
        """Values as the sensors give them out: cut to their range, rounded."""
        scale = self._scale[sensor]
        rounded: Floats = np.rint(np.clip(value, self._min[sensor], self._max[sensor]) * scale) / scale
        return rounded

    def _wander(self, sensor: Ints, time_ms: Ints) -> Floats:
        """Slow drift within [-1, 1]: random knots, a smooth way between them."""
        knot = time_ms // _WANDER_MS
        keys = self._wander_keys[sensor]
        before = randomness.uniform(randomness.draw(keys, knot))
        after = randomness.uniform(randomness.draw(keys, knot + 1))
        way = (time_ms - knot * _WANDER_MS) / _WANDER_MS
        way = way * way * (3 - 2 * way)
        return 2 * (before + (after - before) * way) - 1


def _keys(seed: int, purpose: str, sensors: list[Series]) -> randomness.Keys:
    return np.array([randomness.key(seed, purpose, s.sensor_id) for s in sensors], dtype=np.uint64)


@cache
def _daily_cycle() -> Floats:
    """cos over a day by minute, 1 at the peak; a table has the same bits on every processor."""
    return np.array([math.cos(2 * math.pi * minute / 1440) for minute in range(1440)])
