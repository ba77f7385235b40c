"""streamgauge with its detectors, fed no faster than it reads, for its memory."""

from tests.bench import engine, keeping_up
from tests.bench.measure import Input, Outcome


def run(given: Input) -> Outcome:
    """Read so many messages, telling how many were read."""
    return keeping_up.run(given, settings=engine.DETECTING)
