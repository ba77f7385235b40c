"""One worker process: runs a flow until its input ends or it is told to stop."""

import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from threading import Event
from types import FrameType

from bytewax._bytewax import cli_main
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig

from flows.settings import Duration


def stop_on_signals(stop: Event) -> None:
    """SIGTERM and SIGINT set `stop`, so that the flow drains: no more input, snapshot, exit 0. A second one aborts."""

    def told(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(128 + signum)
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)


def work(
    flow: Dataflow,
    *,
    epoch: Duration,
    recovery: RecoveryConfig | None,
    process_id: int | None = None,
    addresses: Sequence[str] = (),
) -> None:
    """Run to the end. With addresses this process is number process_id of a cluster."""
    cli_main(
        flow,
        workers_per_process=1,
        process_id=process_id if addresses else None,
        addresses=list(addresses) or None,
        epoch_interval=timedelta(milliseconds=epoch.ms),
        recovery_config=recovery,
    )
