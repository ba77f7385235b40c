"""Which fault a sensor has at a time, and what it does to the value.

Time is cut into slots, per sensor and kind, each holding at most one episode: its place is a hash of the slot, so no
schedule has to be kept and any time can be asked first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulate import randomness
from infra.simulate.config import FAULT_KINDS, FaultKind, FaultModel, SimulationConfig
from infra.simulate.randomness import Floats, Ints
from infra.simulate.sensors import Sensors

LABELS: tuple[str, ...] = ("normal", *FAULT_KINDS)
"""Ground truth by code: `Columns.label` of a simulation holds indices into it."""
NORMAL = 0
SILENCE = LABELS.index("silence")

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of fault. slot_ms: length of its slots; chance: that a slot holds an episode."""

    name: FaultKind
    code: int
    slot_ms: int
    min_ms: int
    max_ms: int
    chance: float


@dataclass(frozen=True, slots=True)
class _Episodes:
    """Rows that lie in an episode of one kind. strength: uniform in [0, 1), one draw per episode."""

    rows: npt.NDArray[np.intp]
    start_ms: Ints
    length_ms: Ints
    strength: Floats


class Faults:
    """Injects faults into healthy values."""

    def __init__(self, config: SimulationConfig, sensors: Sensors) -> None:
        self._sensors = sensors
        self._kinds = _kinds(config.fault_models, config.fault_share)
        self._keys = {kind.name: sensors.keys ^ np.uint64(randomness.key("fault", kind.name)) for kind in self._kinds}

    def apply(self, sensor: Ints, time_ms: Ints, value: Floats) -> Codes:
        """Change the values (n,) of readings that lie in faults, in place; their labels (n,) as codes of LABELS.

        Where two faults meet, the kind that comes first in FAULT_KINDS has the reading.
        """
        label = np.zeros(len(sensor), dtype=np.uint8)
        for kind in self._kinds:
            found = self._episodes(kind, sensor, time_ms, label == NORMAL)
            if len(found.rows):
                label[found.rows] = kind.code
                value[found.rows] = self._faulty(
                    kind, found, sensor[found.rows], time_ms[found.rows], value[found.rows]
                )
        return label

    def _episodes(self, kind: _Kind, sensor: Ints, time_ms: Ints, free: npt.NDArray[np.bool_]) -> _Episodes:
        keys = self._keys[kind.name][sensor]
        # Every sensor's slots begin at another time, else faults would gather around common borders.
        shifted = time_ms + (keys % np.uint64(kind.slot_ms)).astype(np.int64)
        slot = shifted // kind.slot_ms
        bits = randomness.draw(keys, slot)
        rows = np.flatnonzero((randomness.uniform(bits) < kind.chance) & free)
        bits = randomness.mix(bits[rows] + np.uint64(1))
        length = kind.min_ms + _scaled(bits >> np.uint64(32), kind.max_ms - kind.min_ms)
        place = _scaled(bits & np.uint64(0xFFFFFFFF), kind.slot_ms - length)
        since = (shifted[rows] - slot[rows] * kind.slot_ms) - place
        inside = (since >= 0) & (since < length)
        strength = randomness.uniform(randomness.mix(bits[inside] + np.uint64(2)))
        return _Episodes(rows[inside], (time_ms[rows] - since)[inside], length[inside], strength)

    def _faulty(self, kind: _Kind, found: _Episodes, sensor: Ints, time_ms: Ints, value: Floats) -> Floats:
        size = self._sensors.spike[sensor] * (0.75 + 0.5 * found.strength)
        if kind.name == "spike":
            return value + size
        if kind.name == "drop":
            return value - size
        if kind.name == "drift":
            way = (time_ms - found.start_ms) / found.length_ms
            direction = np.where(found.strength < 0.5, -1.0, 1.0)
            return value + direction * size * way
        if kind.name == "noise_burst":
            deviation: Floats = (6 + 6 * found.strength) * self._sensors.noise[sensor]
            return value + deviation * self._sensors.jitter(sensor, time_ms)
        if kind.name == "stuck":
            return self._sensors.healthy(sensor, found.start_ms)
        return value


def _kinds(models: dict[FaultKind, FaultModel], share: float) -> list[_Kind]:
    """Chances such that `share` of all time lies in at least one fault.

    Kinds are independent: with w their parts of fault time, 1 - prod(1 - s) = share for s = 1 - (1 - share) ** w.
    """
    time = {kind: model.weight * (model.min_s + model.max_s) / 2 for kind, model in models.items()}
    kinds = []
    for kind, model in models.items():
        part = 1 - (1 - share) ** (time[kind] / sum(time.values()))
        mean_ms = 500 * (model.min_s + model.max_s)
        # The shortest slots that hold every episode; with share <= 0.5 the chance stays below 1.
        slot_ms = round(1000 * model.max_s)
        chance = part * slot_ms / mean_ms
        kinds.append(_Kind(kind, LABELS.index(kind), slot_ms, round(1000 * model.min_s), slot_ms, chance))
    return kinds


def _scaled(bits: randomness.Keys, limit: int | Ints) -> Ints:
    """32 random bits each -> integers in [0, limit]."""
    scaled: Ints = (bits.astype(np.int64) * (limit + np.int64(1))) >> 32
    return scaled
