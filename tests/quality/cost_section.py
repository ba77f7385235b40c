"""What each configured detector costs by itself; see tests/bench/detectors.py."""

from flows.settings import Settings
from operators.features import FEATURE_NAMES
from tests.bench.detectors import SENSORS, Candidate, measure
from tests.quality.report import Section, Table
from tests.quality.runs import Advance


def section(settings: Settings, advance: Advance, *, quick: bool) -> Section:
    """A row for each detector, and their sum. Raises KindError."""
    rows, total_us, alone_us = [], 0.0, 0.0
    for one in settings.detectors:
        candidate = Candidate(one.name, one.kind, dict(one.params), one.features or FEATURE_NAMES)
        (cost,) = measure([candidate], repeat=1 if quick else 5)
        rows.append((one.name, f"{cost.score_us + cost.learn_us:.2f}", f"{cost.alone_us:.1f}"))
        total_us, alone_us = total_us + cost.score_us + cost.learn_us, alone_us + cost.alone_us
        advance(1)
    rows.append(("all", f"{total_us:.2f}", f"{alone_us:.1f}"))
    columns = ("CPU µs a reading", f"{SENSORS:,} sensors at once", "alone")
    return Section((Table("Detectors: score and learn", columns, tuple(rows)),))
