"""streamgauge as configured by default, its detectors included."""

from tests.bench import engine
from tests.bench.measure import Input, Outcome


def run(given: Input) -> Outcome:
    """Read the topic to its end, all windows closed; rows are counted and dropped."""
    return engine.run(given, settings=engine.DETECTING)
