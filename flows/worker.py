"""One worker process: runs a flow until its input ends or it is told to stop."""

import ctypes
import gc
from collections.abc import Sequence
from datetime import timedelta

from bytewax._bytewax import cli_main
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig

from flows.settings import Duration

_COLLECT_AFTER = 100_000
_M_ARENA_MAX = -8
"""Of malloc.h, which glibc has and others lack."""


def collect_seldom() -> None:
    """Let Python look for reference cycles after 100,000 new objects instead of 700.

    Every Kafka message is an object that it would look at, several times per batch, and there are no cycles among them.
    """
    gc.set_threshold(_COLLECT_AFTER)


def share_freed_memory() -> None:
    """Let all threads allocate from one pool.

    Each thread of librdkafka, and there are several per partition, would keep a pool of its own, with what was freed in
    it: 30 MB with four partitions. Their locks are not felt, for small pieces are kept per thread in any case.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def work(
    flow: Dataflow,
    *,
    epoch: Duration,
    recovery: RecoveryConfig | None,
    process_id: int | None = None,
    addresses: Sequence[str] = (),
) -> None:
    """Run to the end. With addresses this process is number process_id of a cluster."""
    collect_seldom()
    share_freed_memory()
    cli_main(
        flow,
        workers_per_process=1,
        process_id=process_id if addresses else None,
        addresses=list(addresses) or None,
        epoch_interval=timedelta(milliseconds=epoch.ms),
        recovery_config=recovery,
    )
