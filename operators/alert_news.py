"""What the sensor step tells the alerts on groups of sensors; it travels with the closed panes."""

from typing import NamedTuple

from operators.alert_rows import Evidence

JOINED, ALARMED, CALMED, LEFT = range(4)


class News(NamedTuple):
    """What the alerts on one group are to know of a sensor.

    at_ms: event time, never before a watermark that was sent earlier. what: JOINED, ALARMED, CALMED or LEFT.
    rule: its key. since_ms, score, evidence: of the sensor's episode, its largest score and first reading.
    """

    at_ms: int
    what: int
    rule: str
    group: str
    sensor_id: str
    since_ms: int
    score: float
    evidence: Evidence
