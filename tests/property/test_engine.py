"""The engine's classes give the oracle's rows, however their input is cut, interleaved, exchanged and interrupted."""

from random import Random

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from flows.settings import Detector, Duration, Settings, Window
from tests.ports import MemoryTables
from tests.property.cases import Case, Fault, aborts, cases, idles, settings, steady_case
from tests.property.compare import (
    check_against_oracle,
    check_complete_windows,
    check_dead_letters,
    check_ledger,
    check_windows,
    same_tables,
)
from tests.property.harness import Harness

bounded = hypothesis_settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    phases=(Phase.explicit, Phase.generate),  # Phase.shrink takes minutes: add it when an example is to be read
)
some = hypothesis_settings(bounded, max_examples=50)
few = hypothesis_settings(bounded, max_examples=30)
seeds = st.integers(0, 2**32)


def run(case: Case, config: Settings, seed: int) -> MemoryTables:
    """The tables after one run, interrupted where the case says so."""
    tables = MemoryTables()
    harness = Harness(config, case.partitions, tables, rng=Random(seed))
    harness.run()
    harness.finish()
    return tables


@bounded
@given(case=cases(), faults=aborts, shards=st.integers(1, 3), seed=seeds)
def test_the_rows_are_those_of_a_plain_batch_computation(
    case: Case, faults: list[Fault], shards: int, seed: int
) -> None:
    config = settings(shards=shards)
    once = run(case, config, seed)
    check_against_oracle(once, case, config)
    again = run(case.with_faults(faults), config, seed + 1)
    check_against_oracle(again, case, config)
    same_tables(once, again)


@some
@given(case=cases(), silences=idles, faults=aborts, seed=seeds)
def test_idle_partitions_lose_nothing(case: Case, silences: list[Fault], faults: list[Fault], seed: int) -> None:
    """What is late after a silence depends on when the others went on; but all tables say the same of it."""
    config, tables = settings(), MemoryTables()
    case = case.with_faults([*silences, *faults])
    harness = Harness(config, case.partitions, tables, rng=Random(seed))
    harness.run()
    harness.finish()
    check_windows(tables, config, closed_ms=harness.watermark_ms())
    check_ledger(tables, case)
    check_dead_letters(tables, case)


DETECTORS = (
    Detector(
        name="z", kind="models.rolling_z.RollingZ", role="rule", threshold=2.0, params={"window": 6, "min_samples": 3}
    ),
    Detector(name="gaussian", kind="river.anomaly.GaussianScorer", params={"grace_period": 3}),
    Detector(name="features", kind="river.anomaly.OneClassSVM", params={"warm_up": 2}),
)


@few
@given(case=cases(), faults=aborts, seed=seeds)
def test_verdicts_do_not_depend_on_batches_order_or_crashes(case: Case, faults: list[Fault], seed: int) -> None:
    config = settings(detectors=DETECTORS)
    once = run(case, config, seed)
    check_against_oracle(once, case, config)
    same_tables(once, run(case.with_faults(faults), config, seed + 1))


BEFORE = settings(
    windows=[
        Window(name="kept", size=Duration(40_000), hop=Duration(20_000), by=("location",)),
        Window(name="changed", size=Duration(20_000), by=("location",)),
        Window(name="removed", size=Duration(60_000), by=("sensor_id",)),
    ]
)
AFTER = settings(
    windows=[
        Window(name="kept", size=Duration(40_000), hop=Duration(20_000), by=("location",)),
        Window(name="changed", size=Duration(15_000), by=("location",)),
        Window(name="added", size=Duration(20_000), by=("sensor_type",)),
    ]
)


@some
@given(seed=seeds)
def test_windows_changed_on_live_state(seed: int) -> None:
    """The windows that stay are exact; the others say which of their results are not complete."""
    rng, tables = Random(seed), MemoryTables()
    case = steady_case(rng)
    harness = Harness(BEFORE, case.partitions, tables, rng=rng)
    harness.run(until={name: rng.randint(20, 60) for name in case.partitions})
    harness.snapshot()
    stored = tables.tables.get("windows", {})
    for key in [key for key, row in stored.items() if row["window"] == "changed"]:
        del stored[key]
    harness.configure(AFTER)
    harness.run()
    harness.finish()
    check_against_oracle(tables, case, msgspec.structs.replace(AFTER, windows=AFTER.windows[:1]))
    check_complete_windows(tables, msgspec.structs.replace(AFTER, windows=AFTER.windows[1:]))
