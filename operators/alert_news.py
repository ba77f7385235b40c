"""What the sensor step tells the alerts on groups of sensors; it travels with the closed panes."""

from typing import NamedTuple

from operators.alert_rows import Evidence


class Census(NamedTuple):
    """So many more series of a group are known from then on, or fewer.

    at_ms: event time, here and below never before a watermark that was sent earlier. rule: its key.
    """

    at_ms: int
    rule: str
    group: str
    change: int


class News(NamedTuple):
    """A sensor of a group is in alarm, or no longer.

    source: "topic/partition", for one that is in several counts in each.
    since_ms, score, evidence: of its episode, its largest score and first reading.
    """

    at_ms: int
    rule: str
    group: str
    sensor_id: str
    source: str
    in_alarm: bool
    since_ms: int
    score: float
    evidence: Evidence

    @property
    def who(self) -> tuple[str, str]:
        """The sensor."""
        return self.sensor_id, self.source
