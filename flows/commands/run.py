"""`streamgauge run`: a flow on real Kafka and ClickHouse."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from bytewax.recovery import RecoveryConfig

from flows.cluster import Cluster, wait_for_earlier
from flows.commands.common import Invocation, peoples_error
from flows.find import find
from flows.graceful import Failures
from flows.observing import machine_watched, set_up_logs, traced
from flows.production import clickhouse_address, production_ports
from flows.readiness import PipeReport, Report, reporting
from flows.recovery import STORE_PARTITIONS, Layout, open_store
from flows.rehearsal import rehearse
from flows.restarts import beginning_as_reset, tell_new_partitions
from flows.settings import Settings, SettingsError
from flows.supervision import Policy, Supervisor
from flows.unsupervised import OwnReport, beating
from flows.worker import work
from infra.clickhouse.client import ClickHouseError
from infra.clickhouse.sink import ClickHouseSink
from infra.embedded.watchdog import Watchdog
from infra.kafka.client import TopicMissing, Unreachable
from infra.observe.health import HealthServer, Troubles
from infra.observe.merged import merge, pages, published
from infra.observe.metrics import exposition
from infra.observe.systemd import Systemd
from infra.signals import StopFlag, ignore_signals, stop_on_signals

_SETTLED_EPOCHS = 2
"""After so many one is complete: what a cluster died of, it has come past."""
_WAIT_FOR_EARLIER_S = 10.0

logger = logging.getLogger(__name__)


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="`sensors`, another file in flows/, or the path of a file of your own.")],
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=STORE_PARTITIONS,
            help="So many worker processes on this machine as one cluster, started again when one dies.",
            show_default="this process is the only worker",
        ),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at what the topics hold now, instead of waiting for more.")
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="With --until-end: also close the last windows. Keeps no recovery store.")
    ] = False,
    process_id: Annotated[int | None, typer.Option(hidden=True)] = None,
    address: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    report_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    metrics_dir: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a flow until it is told to stop; Ctrl-C or SIGTERM drains it, told once more it ends at once.

    **Examples**

    `streamgauge run sensors`

    `streamgauge run sensors --processes 2`

    `streamgauge run my/flow.py`
    """
    if close and not until_end:
        raise typer.BadParameter("--close needs --until-end: a stream that goes on closes its windows by itself")
    invocation: Invocation = context.obj
    stop = stop_on_signals()
    set_up_logs(invocation.settings, process_id)
    asked = _Asked(name, invocation.settings, until_end, close)
    if process_id is not None and report_fd is not None:
        _work_in_cluster(asked, stop, PipeReport(report_fd), process_id, address or (), metrics_dir)
    elif processes is not None:
        sys.exit(_supervise(asked, stop, processes))
    else:
        _work_alone(asked, stop)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run."""

    name: str
    settings: Settings
    until_end: bool
    close: bool

    def recovery(self) -> RecoveryConfig | None:
        """The recovery store; None when none is to be kept."""
        if self.close:
            return None
        return open_store(self.directory, Layout.of(self.name, self.settings))

    @property
    def directory(self) -> Path:
        """Of the recovery store."""
        return Path(self.settings.worker.recovery_dir)


def _work_alone(asked: _Asked, stop: StopFlag) -> None:
    """In this process, whose end is for others to see to."""
    systemd = Systemd()
    report = OwnReport(stop, systemd)
    with (
        _served(asked.settings, live=list, ready=lambda: report.missing, metrics=exposition),
        beating(stop, systemd, drain_timeout_s=asked.settings.worker.drain_timeout.ms / 1000),
        machine_watched(asked.settings),
        traced(asked.settings, asked.name),
    ):
        _work(asked, stop, report)


def _work_in_cluster(
    asked: _Asked,
    stop: StopFlag,
    report: PipeReport,
    process: int,
    addresses: Sequence[str],
    metrics_dir: Path | None,
) -> None:
    """As one of the processes that a supervisor has started, which says for all of them what was wrong."""
    try:
        with (
            published(metrics_dir, process) if metrics_dir is not None else nullcontext(),
            traced(asked.settings, asked.name, process),
        ):
            _work(asked, stop, report, process, addresses)
    except Exception as error:
        cause = peoples_error(error)
        if cause is None:
            raise
        report.refused(str(cause))
        sys.exit(1)


def _work(
    asked: _Asked, stop: StopFlag, report: Report, process: int | None = None, addresses: Sequence[str] = ()
) -> None:
    settings = asked.settings
    build = find(asked.name)
    rehearse(settings)
    recovery = asked.recovery()
    if recovery is not None:
        settings = beginning_as_reset(settings, asked.directory)
    failures = Failures(report.failed)
    sink = ClickHouseSink(clickhouse_address(settings))
    try:
        ports = production_ports(settings, sink, stop, failures, stop_at_end=asked.until_end, close_at_end=asked.close)
    except (ClickHouseError, Unreachable, TopicMissing):
        if stop.is_set():  # told to stop while waiting for one of them
            return
        raise
    if recovery is not None:
        tell_new_partitions(asked.directory, ports.partitions, clickhouse_address(settings))
    flow = build(settings, replace(ports, source=lambda make: ports.source(reporting(make, report))))
    report.reached(ports.partitions)
    logger.info("flow %s runs over %s", asked.name, ", ".join(ports.partitions))
    if process:
        wait_for_earlier(process, addresses, within_s=_WAIT_FOR_EARLIER_S)
    work(flow, epoch=settings.worker.epoch, recovery=recovery, process_id=process, addresses=tuple(addresses))
    ignore_signals()
    failures.raise_first()
    stats = sink.stats
    logger.info(
        "flow %s has ended well: %s rows stored in %s inserts", asked.name, f"{stats.rows:,}", f"{stats.inserts:,}"
    )


def _supervise(asked: _Asked, stop: StopFlag, processes: int) -> int:
    """Worker processes as one cluster; what is wrong with the configuration is told before any is started."""
    settings = asked.settings
    systemd = Systemd()
    find(asked.name)
    rehearse(settings)
    asked.recovery()
    worker = settings.worker
    policy = Policy(
        max_restarts=worker.max_restarts,
        settled_s=_SETTLED_EPOCHS * worker.epoch.ms / 1000,
        drain_timeout_s=worker.drain_timeout.ms / 1000,
    )
    watchdog = Watchdog()
    for_metrics = TemporaryDirectory(prefix="streamgauge-") if settings.observe.listen else nullcontext(None)
    with for_metrics as directory:
        supervisor = Supervisor(
            lambda: Cluster(partial(_command, directory), processes, watchdog), policy, stop, systemd
        )

        def metrics() -> bytes:
            own = {"supervisor": exposition()}
            return merge(own if directory is None else pages(Path(directory)) | own)

        with (
            _served(settings, live=supervisor.live, ready=supervisor.ready, metrics=metrics),
            machine_watched(settings),
        ):
            return supervisor.run()


def _command(metrics_dir: str | None, process: int, addresses: Sequence[str], fd: int) -> list[str]:
    """This command once more, as one process of the cluster."""
    given = sys.argv[1:]
    at = next(i for i, word in enumerate(given) if word.split("=")[0] == "--processes")
    del given[at : at + (1 if "=" in given[at] else 2)]
    given += ["--process-id", str(process), "--report-fd", str(fd)]
    given += [word for one in addresses for word in ("--address", one)]
    if metrics_dir is not None:
        given += ["--metrics-dir", metrics_dir]
    return [sys.executable, "-m", "flows.cli", *given]


def _served(
    settings: Settings, *, live: Troubles, ready: Troubles, metrics: Callable[[], bytes]
) -> AbstractContextManager[object]:
    """Health and metrics over HTTP, when they are asked for. Raises SettingsError."""
    listen = settings.observe.listen
    if not listen:
        return nullcontext()
    try:
        return HealthServer(listen, live=live, ready=ready, metrics=metrics)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"observe.listen = '{listen}': {why}; name another address, or \"\" for none") from None
