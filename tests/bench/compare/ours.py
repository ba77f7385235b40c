"""One-minute windows of each sensor by streamgauge, without detectors, with the checks it always does."""

import msgspec

from flows.settings import Duration, Window
from tests.bench import engine
from tests.bench.measure import Input, Outcome

SETTINGS = msgspec.structs.replace(
    engine.SETTINGS, windows=(Window(name="1m", size=Duration(60_000), by=("sensor_id",)),), alerts=()
)


def run(given: Input) -> Outcome:
    """Read the topic to its end, all windows closed."""
    counts = engine.Counts()
    engine.run_with(given, counts, settings=SETTINGS)
    return Outcome(counts.rows["readings"], {"1m": counts.counted["1m"]})
