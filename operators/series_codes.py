"""From labels as sent to the numbers of completed series: what is done once per series, not once per reading."""

import sys

from operators.batches import Series, SeriesDictionary
from operators.registry import Registry

RawLabels = tuple[str, str, str, str, str]
"""Labels as sent, in the order of `Series`: sensor_id, sensor_type, location, asset_id, unit."""


class SeriesCodes(dict[RawLabels, int]):
    """codes[labels] is the number of the completed series in `series`; below 0 when its type is refused.

    A plain dict with an entry made on first sight: this look-up is done for every reading.
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.series = SeriesDictionary()
        self._registry = registry
        self._refused: list[str] = []

    def __missing__(self, labels: RawLabels) -> int:
        sent = Series(*map(sys.intern, labels))
        series = self._registry.complete(sent)
        code = self._refuse(series.sensor_type) if self._registry.refuses(series) else self.series.code(series)
        self[sent] = code
        return code

    def refused_type(self, code: int) -> str:
        """The sensor type behind a code below 0."""
        return self._refused[-1 - code]

    def _refuse(self, sensor_type: str) -> int:
        if sensor_type not in self._refused:
            self._refused.append(sensor_type)
        return -1 - self._refused.index(sensor_type)
