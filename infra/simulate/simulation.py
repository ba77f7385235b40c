"""The simulation: readings of any stretch of time, as columns or as messages. Pure: time is passed in."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infra.simulate import payload
from infra.simulate.config import SimulationConfig
from infra.simulate.disturbances import CONFLICT, DEFECTS, LATE, MAX_DELAY_MS, NONE, OUT_OF_ORDER, Disturbances
from infra.simulate.faults import LABELS, SILENCE, Codes, Faults
from infra.simulate.randomness import Floats, Ints
from infra.simulate.sensors import Sensors
from operators.batches import Series

Message = tuple[bytes, bytes, int]
"""Kafka key (the sensor_id), payload, time stamp (epoch milliseconds)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings in order of time, one row each; all columns have length n.

    sensor: index into `Simulation.series`.
    time_ms: event time, epoch milliseconds.
    value: as sent, in the sensor's unit.
    label: ground truth, index into `faults.LABELS`.
    """

    sensor: Ints
    time_ms: Ints
    value: Floats
    label: Codes

    def __len__(self) -> int:
        return len(self.sensor)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Columns":
        """The chosen rows."""
        return Columns(self.sensor[rows], self.time_ms[rows], self.value[rows], self.label[rows])


class Simulation:
    """Seeded sensors with faults and ground truth.

    A reading depends on (seed, sensor, time) alone, so stretches of time may be asked for in any pieces and order:
    history made at full speed goes over into the present without a seam. Raises SimulationError for a wrong config.
    """

    def __init__(self, config: SimulationConfig) -> None:
        config.check()
        self.config = config
        self._sensors = Sensors(config)
        self._faults = Faults(config, self._sensors)
        self._disturbances = Disturbances(config, self._sensors)
        # Reading number g belongs to sensor g % sensors and time g * _period_ms: all sensors send evenly in turn.
        self._period_ms = 1000 / Fraction(config.rate).limit_denominator(1_000_000)

    @property
    def series(self) -> list[Series]:
        """The sensors."""
        return self._sensors.series

    def columns(self, from_ms: int, to_ms: int) -> Columns:
        """The readings with from_ms <= event time < to_ms that sensors send, with their ground truth."""
        rows = self._measure(*self._ticks(from_ms, to_ms))
        return rows.take(rows.label != SILENCE)

    def batch(self, from_ms: int, to_ms: int) -> list[Message]:
        """The messages sent at from_ms <= time < to_ms, in order of that time, which is also their time stamp.

        It is the event time, except of messages that `disorder` delays.
        """
        rows = self.columns(from_ms, to_ms)
        sent = _Sent(rows, rows.time_ms, np.zeros(len(rows), dtype=np.uint8))
        if self.config.disorder:
            delayed = np.isin(self._disturbances.fates(rows.sensor, rows.time_ms).fate, (OUT_OF_ORDER, LATE))
            sent = _merged(sent.take(~delayed), self._delayed(from_ms, to_ms))
        if self.config.bad_share:
            defect = self._disturbances.defects(rows.sensor, rows.time_ms)
            broken = _Sent(rows, rows.time_ms, defect)
            sent = _merged(sent, broken.take(defect > 0))
        return self._encode(sent)

    def rows_to_ms(self, rows: int) -> int:
        """How much time holds about so many readings, milliseconds, at least 1."""
        return max(1, int(rows * self._period_ms))

    def _ticks(self, from_ms: int, to_ms: int) -> tuple[Ints, Ints]:
        """Which sensors are due at from_ms <= time < to_ms, and when; in order of time."""
        step = self._period_ms
        start = math.ceil(from_ms / step)
        stop = max(start, math.ceil(to_ms / step))
        # Exact whatever the rate: from the first number in Python's integers, the rest fits in 64 bits.
        whole_ms, rest = divmod(start * step.numerator, step.denominator)
        n = np.arange(stop - start, dtype=np.int64)
        time_ms = whole_ms + (rest + n * step.numerator) // step.denominator
        return (n + start % len(self._sensors)) % len(self._sensors), time_ms

    def _measure(self, sensor: Ints, time_ms: Ints) -> Columns:
        value = self._sensors.healthy(sensor, time_ms)
        label = self._faults.apply(sensor, time_ms, value)
        return Columns(sensor, time_ms, self._sensors.shown(sensor, value), label)

    def _delayed(self, from_ms: int, to_ms: int) -> "_Sent":
        """What was measured earlier, or now, and reaches the broker in this stretch of time after a delay."""
        sensor, time_ms = self._ticks(from_ms - MAX_DELAY_MS, to_ms)
        fates = self._disturbances.fates(sensor, time_ms)
        send_ms = time_ms + fates.delay_ms
        chosen = np.flatnonzero((fates.fate != NONE) & (send_ms >= from_ms) & (send_ms < to_ms))
        rows = self._measure(sensor[chosen], time_ms[chosen])
        other = self._sensors.shown(rows.sensor, self._disturbances.contradicted(rows.sensor, rows.value))
        value = np.where(fates.fate[chosen] == CONFLICT, other, rows.value)
        rows = Columns(rows.sensor, rows.time_ms, value, rows.label)
        sent = _Sent(rows, send_ms[chosen], np.zeros(len(rows), dtype=np.uint8))
        return sent.take(rows.label != SILENCE)

    def _encode(self, sent: "_Sent") -> list[Message]:
        encoders, rows = self._encoders, sent.rows
        columns = (rows.sensor.tolist(), rows.value.tolist(), rows.time_ms.tolist(), rows.label.tolist())
        messages = [
            (encoders[s].key, encoders[s].encode(value, time_ms, _TAILS[label]), send_ms)
            for s, value, time_ms, label, send_ms in zip(*columns, sent.send_ms.tolist(), strict=True)
        ]
        for i in np.flatnonzero(sent.defect).tolist():
            key, good, send_ms = messages[i]
            messages[i] = (key, _DEFECTS[sent.defect[i] - 1](good), send_ms)
        return messages

    @cached_property
    def _encoders(self) -> list[payload.Encoder]:
        return [payload.Encoder(series) for series in self.series]


@dataclass(frozen=True, slots=True)
class _Sent:
    """Messages to send. send_ms: when; defect: 0, or 1 + the index of what breaks it."""

    rows: Columns
    send_ms: Ints
    defect: Codes

    def take(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "_Sent":
        return _Sent(self.rows.take(chosen), self.send_ms[chosen], self.defect[chosen])


def _merged(first: _Sent, second: _Sent) -> _Sent:
    """Both in order of send_ms."""
    a, b = first.rows, second.rows
    rows = Columns(
        np.concatenate((a.sensor, b.sensor)),
        np.concatenate((a.time_ms, b.time_ms)),
        np.concatenate((a.value, b.value)),
        np.concatenate((a.label, b.label)),
    )
    send_ms = np.concatenate((first.send_ms, second.send_ms))
    both = _Sent(rows, send_ms, np.concatenate((first.defect, second.defect)))
    return both.take(np.argsort(send_ms, kind="stable"))


_TAILS = [payload.tail(label) for label in LABELS]
_DEFECTS = list(DEFECTS.values())
