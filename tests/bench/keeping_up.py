"""streamgauge fed no faster than it reads, for its memory."""

from threading import Event

from flows.settings import Settings
from operators.batches import Rows
from tests.bench import engine
from tests.bench.measure import Input, Outcome, tell_read

STEP = 20_000
"""After so many readings more it tells how many it has read."""


def run(given: Input, *, settings: Settings = engine.SETTINGS) -> Outcome:
    """Read so many messages, telling how many were read."""
    counts, stop = engine.Counts(), Event()
    told = 0

    def take(rows: Rows) -> None:
        nonlocal told
        counts(rows)
        readings = counts.rows["readings"]
        if readings >= told + STEP:
            told = readings
            tell_read(readings)
        if readings >= given.messages:
            stop.set()

    engine.run_with(given, take, settings=settings, stop=stop)
    return counts.outcome
