"""The whole Bytewax flow gives the oracle's rows: worker counts, epochs, kills and restarts on one recovery store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from flows.sensors import build
from flows.settings import Settings
from tests.ports import ABORT, Killed, MemoryTables, list_ports
from tests.property.cases import Case, Fault, aborts, cases, idles, settings
from tests.property.compare import check_against_oracle, check_dead_letters, check_ledger
from tests.property.test_engine import DETECTORS, bounded, seeds

few = hypothesis_settings(bounded, max_examples=30)
EPOCHS = (timedelta(0), timedelta(milliseconds=2), timedelta(seconds=10))
"""A snapshot after every batch; now and then; none before the end."""


def run(case: Case, config: Settings, *, seed: int, workers: int, epoch: timedelta) -> MemoryTables:
    """The tables after the flow has come to its end, started again after each kill on the same recovery store.

    workers: at first; after a kill there are as many as the dice say.
    """
    tables = MemoryTables()
    rng = Random(seed)
    ports = list_ports(case.partitions, tables, rng=rng, abort=Killed)
    kills = sum(item is ABORT for items in case.partitions.values() for item in items)
    with TemporaryDirectory() as directory:
        init_db_dir(Path(directory), 2)
        for _ in range(kills + 1):  # a run without a kill leaves the later ones nothing to do
            with _survived(Killed):
                cluster_main(
                    build(config, ports),
                    [],
                    0,
                    epoch_interval=epoch,
                    recovery_config=RecoveryConfig(directory),
                    worker_count_per_proc=workers,
                )
            workers = rng.randint(1, 3)
    return tables


@contextmanager
def _survived(expected: type[Exception]) -> Iterator[None]:
    """Goes on when Bytewax ended because of `expected`."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, expected):
            cause = cause.__cause__
        if cause is None:
            raise


@few
@given(
    case=cases(),
    faults=aborts,
    workers=st.integers(1, 3),
    shards=st.integers(1, 3),
    epoch=st.sampled_from(EPOCHS),
    detectors=st.booleans(),
    seed=seeds,
)
def test_the_flow_gives_the_rows_of_a_plain_batch_computation(
    case: Case, faults: list[Fault], workers: int, shards: int, epoch: timedelta, detectors: bool, seed: int
) -> None:
    config = settings(shards=shards, detectors=DETECTORS if detectors else ())
    tables = run(case.with_faults(faults), config, seed=seed, workers=workers, epoch=epoch)
    check_against_oracle(tables, case, config)


@few
@given(case=cases(), silences=idles, faults=aborts, workers=st.integers(1, 3), seed=seeds)
def test_idle_partitions_lose_nothing(
    case: Case, silences: list[Fault], faults: list[Fault], workers: int, seed: int
) -> None:
    case, config = case.with_faults([*silences, *faults]), settings()
    tables = run(case, config, seed=seed, workers=workers, epoch=timedelta(0))
    check_ledger(tables, case)
    check_dead_letters(tables, case)
