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
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of malloc.h, which glibc has and others lack."""
_LARGE_BYTES = 1 << 20


def collect_seldom() -> None:
    """Let Python look for reference cycles after 100,000 new objects instead of 700.

    Every Kafka message is an object that it would look at, several times per batch, and there are no cycles among them.
    """
    gc.set_threshold(_COLLECT_AFTER)


def share_freed_memory() -> None:
    """Let all threads allocate from one pool, and give large pieces back when they are freed.

    Each thread of librdkafka, and there are several per partition, would keep a pool of its own, with what was freed in
    it: 30 MB with four partitions. Their locks are not felt, for small pieces are kept per thread in any case. What a
    snapshot took, 20 MB with 10,000 sensors, would stay in the pool, for glibc takes ever larger pieces from it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)


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
