"""What is known of sensors beyond what they send: labels that complete readings, limits, intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Literal

from operators.batches import Series


@dataclass(frozen=True, slots=True)
class SensorInfo:
    """One sensor, as in the table `sensors`; "" and NaN mean "not said".

    min_value, max_value: plausible values, in `unit`. interval_ms: expected distance of its readings.
    time_zone: IANA name, for hour of day and day of week; "" is UTC.
    """

    sensor_type: str = ""
    location: str = ""
    asset_id: str = ""
    unit: str = ""
    min_value: float = nan
    max_value: float = nan
    interval_ms: float = nan
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """All sensors of one type; what a sensor's own entry says goes before it. NaN means "not said"."""

    unit: str = ""
    min_value: float = nan
    max_value: float = nan
    interval_ms: float = nan


_NO_SENSOR = SensorInfo()
_NO_TYPE = TypeInfo()


@dataclass(frozen=True, slots=True)
class Registry:
    """Sensors and sensor types by name.

    unknown_types: whether readings of a type in neither `types` nor the sensor's own entry are accepted or refused.
    """

    sensors: Mapping[str, SensorInfo] = field(default_factory=dict)
    types: Mapping[str, TypeInfo] = field(default_factory=dict)
    unknown_types: Literal["accept", "refuse"] = "accept"

    def complete(self, series: Series) -> Series:
        """The series with its empty labels filled: from the sensor's own entry, then the unit of its type."""
        sensor_type = series.sensor_type or self.sensors.get(series.sensor_id, _NO_SENSOR).sensor_type
        own = self._own(series.sensor_id, sensor_type)
        return Series(
            series.sensor_id,
            sensor_type,
            series.location or own.location,
            series.asset_id or own.asset_id,
            series.unit or own.unit or self.types.get(sensor_type, _NO_TYPE).unit,
        )

    def knows(self, series: Series) -> bool:
        """Whether the type of the (completed) series is configured, or is what the sensor's own entry says."""
        own = self._own(series.sensor_id, series.sensor_type)
        return series.sensor_type in self.types or series.sensor_type == own.sensor_type != ""

    def refuses(self, series: Series) -> bool:
        """Whether readings of the (completed) series are refused for their type."""
        return self.unknown_types == "refuse" and not self.knows(series)

    def limits(self, series: Series) -> tuple[float, float]:
        """Smallest and largest plausible value of a completed series; NaN where there is none.

        Limits hold in the unit they were given in: a series in another unit has none.
        """
        own = self._own(series.sensor_id, series.sensor_type)
        kind = self.types.get(series.sensor_type, _NO_TYPE)
        if kind.unit not in ("", series.unit):
            kind = _NO_TYPE
            own = own if own.unit else _NO_SENSOR
        if own.unit not in ("", series.unit):
            own = _NO_SENSOR
        return _first(own.min_value, kind.min_value), _first(own.max_value, kind.max_value)

    def interval_ms(self, series: Series) -> float:
        """Expected distance of the readings of a completed series, milliseconds; NaN when not said."""
        own = self._own(series.sensor_id, series.sensor_type)
        return _first(own.interval_ms, self.types.get(series.sensor_type, _NO_TYPE).interval_ms)

    def time_zone(self, series: Series) -> str:
        """Where the sensor of a completed series stands: IANA name, "" for UTC."""
        return self._own(series.sensor_id, series.sensor_type).time_zone

    def _own(self, sensor_id: str, sensor_type: str) -> SensorInfo:
        # A device may send several types under one id; its entry speaks of one of them.
        own = self.sensors.get(sensor_id, _NO_SENSOR)
        return own if own.sensor_type in ("", sensor_type) else _NO_SENSOR


def _first(number: float, otherwise: float) -> float:
    return otherwise if isnan(number) else number
