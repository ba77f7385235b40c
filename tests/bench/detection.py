"""The part of `make bench` about detection: every configured detector by itself, all together, beside River."""

from typing import Any

from rich.console import Console

from flows.settings import Settings
from models.catalog import implementation
from operators.features import FEATURE_NAMES
from tests.bench import detectors, judging
from tests.bench.detectors import TREES, BesideRiver, Candidate
from tests.bench.judging import CATCH_UP, FEW, SENSORS, Judging
from tests.bench.targets import Target, show_targets

_TIMES_RIVER = 30.0
_BATCH_US, _ALONE_US, _TFLITE_US = 5.0, 100.0, 1000.0
_MEMORY, _SNAPSHOT = 8192, 2048
_NOT_RIVERS = ("warm_up", "limits")
"""Parameters of the twin that River's class does not take, or not as configured."""


def run(settings: Settings, *, repeat: int, console: Console, warm_up: int | None = None) -> None:
    """Measure and print. warm_up: readings of each sensor before; as many as detectors need when left out."""
    candidates = [
        Candidate(one.name, one.kind, dict(one.params), FEATURE_NAMES if one.features is None else one.features)
        for one in settings.detectors
    ]
    for one in candidates:
        console.print(f"{one.name}: {implementation(one.kind, one.params)}", highlight=False, soft_wrap=True)
    given: dict[str, Any] = {} if warm_up is None else {"warm_up": warm_up}
    detectors.show(detectors.measure(candidates, repeat=repeat, **given), console)
    params = next((one.params for one in candidates if one.kind == TREES), {})
    river = detectors.beside_river({k: v for k, v in params.items() if k not in _NOT_RIVERS}, repeat=repeat)
    together = judging.measure_judging(settings, repeat=repeat, **given)
    show_targets(targets(river, together, judging.tflite_alone_us(repeat=repeat)), console)
    console.print(
        f"with features, calibration and verdict, {FEW} sensors in batches of {CATCH_UP:,}: "
        f"{together.catch_up_us:.1f} µs a reading; CPU of all threads, medians of {repeat}",
        highlight=False,
        soft_wrap=True,
    )


def targets(river: BesideRiver, together: Judging, tflite_us: float) -> list[Target]:
    """What was wanted of detection, and whether it was reached."""
    scores = "scores the same to the bit" if river.same else "scores DIFFER"
    return [
        (
            river.same and river.times >= _TIMES_RIVER,
            f"HalfSpaceTrees {river.twin_us:.2f} µs a reading, {river.times:.0f} x River's {river.river_us:.1f}, "
            f"at least {_TIMES_RIVER:.0f} x wanted; {scores}",
        ),
        (
            together.batch_us <= _BATCH_US,
            f"{together.batch_us:.2f} µs a reading for all of detection in batches of {SENSORS:,} from as many "
            f"sensors, at most {_BATCH_US:.0f} wanted",
        ),
        (
            together.alone_us <= _ALONE_US,
            f"{together.alone_us:.0f} µs for a lone reading, at most {_ALONE_US:.0f} wanted",
        ),
        (
            together.memory_bytes <= _MEMORY,
            f"{together.memory_bytes:,.0f} B a sensor in memory, at most {_MEMORY:,} wanted",
        ),
        (
            together.snapshot_bytes <= _SNAPSHOT,
            f"{together.snapshot_bytes:,.0f} B a sensor in a snapshot, at most {_SNAPSHOT:,} wanted",
        ),
        (tflite_us < _TFLITE_US, f"TFLite {tflite_us:.0f} µs for one row, less than {_TFLITE_US:,.0f} wanted"),
    ]
