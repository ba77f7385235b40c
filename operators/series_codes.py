"""From labels as sent to the numbers of completed series: what is done once per series, not once per reading."""

import sys

from operators.batches import Series, SeriesDictionary
from operators.records import Reading
from operators.registry import Registry

RawLabels = tuple[str, str, str, str, str]
"""Labels as sent, in the order of `Series`: sensor_id, sensor_type, location, asset_id, unit."""


class _LatestOfSensor(dict[str, tuple[str | None, str | None, str | None, str | None, int]]):
    """Per sensor_id the other labels it last sent, and their number."""

    def __missing__(self, sensor_id: str) -> tuple[None, None, None, None, int]:
        return None, None, None, None, 0


class SeriesCodes:
    """Numbers the completed series of one source in `series`; below 0 stands for a type that is refused."""

    def __init__(self, registry: Registry) -> None:
        self.series = SeriesDictionary()
        self._registry = registry
        self._codes: dict[RawLabels, int] = {}
        self._latest = _LatestOfSensor()
        self._refused: list[str] = []

    def __len__(self) -> int:
        return len(self._codes)

    def of(self, readings: list[Reading]) -> list[int]:
        """The number of each reading's series."""
        # Comparing with what the sensor sent before costs two thirds of hashing five fresh texts.
        latest, look_up = self._latest, self._look_up
        return [
            last[4]
            if (last := latest[r.sensor_id])[0] == r.sensor_type
            and last[1] == r.location
            and last[2] == r.asset_id
            and last[3] == r.unit
            else look_up(r)
            for r in readings
        ]

    def code(self, labels: RawLabels) -> int:
        """The number of the series that sends these labels."""
        code = self._codes.get(labels)
        if code is None:
            sent = Series(*map(sys.intern, labels))
            series = self._registry.complete(sent)
            code = self._refuse(series.sensor_type) if self._registry.refuses(series) else self.series.code(series)
            self._codes[sent] = code
        return code

    def refused_type(self, code: int) -> str:
        """The sensor type behind a code below 0."""
        return self._refused[-1 - code]

    def _look_up(self, reading: Reading) -> int:
        labels = (reading.sensor_id, reading.sensor_type, reading.location, reading.asset_id, reading.unit)
        code = self.code(labels)
        sensor_id, sensor_type, location, asset_id, unit = map(sys.intern, labels)
        self._latest[sensor_id] = sensor_type, location, asset_id, unit, code
        return code

    def _refuse(self, sensor_type: str) -> int:
        self._refused.append(sensor_type)
        return -len(self._refused)
