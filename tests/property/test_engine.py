"""The engine's classes give the oracle's rows, however their input is cut, interleaved, exchanged and interrupted."""

from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from flows.settings import Settings
from tests.ports import Item, MemoryTables
from tests.property.cases import Case, aborts, cases, settings
from tests.property.compare import check_against_oracle, same_tables
from tests.property.harness import Harness

Fault = tuple[int, int, Item]

bounded = hypothesis_settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    phases=(Phase.explicit, Phase.generate),  # Phase.shrink takes minutes: add it when an example is to be read
)
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
