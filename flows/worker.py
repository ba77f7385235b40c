"""One worker process: runs a flow until its input ends or it is told to stop."""

from collections.abc import Sequence
from datetime import timedelta

from bytewax._bytewax import cli_main
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig

from flows.settings import Duration


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
