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

from flows.cluster import Cluster, free_addresses, wait_for_earlier
from flows.commands.common import Invocation, peoples_error
from flows.find import find
from flows.graceful import Failures
from flows.hosts import FailuresToldAtOnce, Place, can_listen, joining, place_among, store_of_hosts, tells_of_lost_peer
from flows.machine import machine_watched
from flows.observing import set_up_logs, traced
from flows.places import clickhouse_address
from flows.production import production_ports
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
    process_id: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Over several hosts: the number of this host's process. Process 0 keeps the recovery store.",
            show_default="no other hosts",
        ),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Over several hosts: where a process listens for the others; once for each, alike on all hosts.",
            show_default="no other hosts",
        ),
    ] = None,
    over_hosts: Annotated[bool, typer.Option("--over-hosts", hidden=True)] = False,
    report_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    metrics_dir: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a flow until it is told to stop; Ctrl-C or SIGTERM drains it, told once more it ends at once.

    **Examples**

    `streamgauge run sensors`

    `streamgauge run sensors --processes 2`

    `streamgauge run my/flow.py`

    `streamgauge run sensors --process-id 1 --address hostA:2101 --address hostB:2101`

    **Several hosts** run one cluster when the service manager of each starts one process of it. All need the same
    release and configuration; the recovery store is in worker.recovery_dir of process 0 alone, that of the others stays
    empty. What they tell each other is neither encrypted nor checked: their ports are for a network of your own. A cut
    between them is waited out; when one is lost the others start again and wait for it, and all go on from the last
    epoch. Stop them together: one alone cannot drain, it ends after worker.drain_timeout and the others wait for it.
    """
    if close and not until_end:
        raise typer.BadParameter("--close needs --until-end: a stream that goes on closes its windows by itself")
    invocation: Invocation = context.obj
    stop = stop_on_signals()
    set_up_logs(invocation.settings, process_id)
    asked = _Asked(name, invocation.settings, until_end, close)
    if process_id is not None and report_fd is not None:
        place = Place(process_id, tuple(address or ()), over_hosts)
        _work_in_cluster(replace(asked, place=place), stop, PipeReport(report_fd), place, metrics_dir)
    elif process_id is not None or address:
        place = _place_among(processes, process_id, address or ())
        can_listen(place)
        sys.exit(_supervise(replace(asked, place=place), stop, (place.process,), lambda: place.addresses))
    elif processes is not None:
        sys.exit(_supervise(asked, stop, range(processes), lambda: free_addresses(processes)))
    else:
        _work_alone(asked, stop)


def _place_among(processes: int | None, process: int | None, addresses: Sequence[str]) -> Place:
    """The place in a cluster over hosts that was asked for. Raises BadParameter."""
    if processes is not None:
        raise typer.BadParameter("--processes is for one host; over several start one process for each --address")
    try:
        return place_among(process, addresses)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run, and as which process of a cluster."""

    name: str
    settings: Settings
    until_end: bool
    close: bool
    place: Place | None = None

    def recovery(self) -> RecoveryConfig | None:
        """The recovery store; None when none is to be kept."""
        if self.close:
            return None
        layout = Layout.of(self.name, self.settings)
        if self.place is not None and self.place.over_hosts:
            return store_of_hosts(self.place, self.directory, layout, start=self.settings.kafka.start)
        return open_store(self.directory, layout)

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
    place: Place,
    metrics_dir: Path | None,
) -> None:
    """As one of the processes that a supervisor has started, which says for all of them what was wrong."""
    try:
        with (
            published(metrics_dir, place.process) if metrics_dir is not None else nullcontext(),
            traced(asked.settings, asked.name, place.process),
        ):
            _work(asked, stop, report)
    except Exception as error:
        cause = peoples_error(error)
        if cause is None:
            raise
        report.refused(str(cause))
        sys.exit(1)
    except BaseException as error:
        if not tells_of_lost_peer(error):
            raise
        logger.warning("another process of the cluster has ended, or cannot be reached any more")
        sys.exit(1)


def _work(asked: _Asked, stop: StopFlag, report: Report) -> None:
    settings, place = asked.settings, asked.place
    build = find(asked.name)
    rehearse(settings)
    recovery = asked.recovery()
    if recovery is not None:
        settings = beginning_as_reset(settings, asked.directory)
    over_hosts = place is not None and place.over_hosts
    failures = (FailuresToldAtOnce if over_hosts else Failures)(report.failed)
    sink = ClickHouseSink(clickhouse_address(settings))
    try:
        ports = production_ports(settings, sink, stop, failures, stop_at_end=asked.until_end, close_at_end=asked.close)
    except (ClickHouseError, Unreachable, TopicMissing):
        if stop.is_set():  # told to stop while waiting for one of them
            return
        raise
    if recovery is not None:
        tell_new_partitions(asked.directory, ports.partitions, clickhouse_address(settings))
    source = joining(ports.source, lambda: report.reached(())) if over_hosts else ports.source
    flow = build(settings, replace(ports, source=lambda make: source(reporting(make, report))))
    if not over_hosts:
        report.reached(ports.partitions)
    logger.info("flow %s runs over %s", asked.name, ", ".join(ports.partitions))
    if place is not None and not over_hosts:
        wait_for_earlier(place.process, place.addresses, within_s=_WAIT_FOR_EARLIER_S)
    work(
        flow,
        epoch=settings.worker.epoch,
        recovery=recovery,
        process_id=place.process if place is not None else None,
        addresses=place.addresses if place is not None else (),
    )
    ignore_signals()
    failures.raise_first()
    stats = sink.stats
    logger.info(
        "flow %s has ended well: %s rows stored in %s inserts", asked.name, f"{stats.rows:,}", f"{stats.inserts:,}"
    )


def _supervise(asked: _Asked, stop: StopFlag, processes: Sequence[int], addresses: Callable[[], Sequence[str]]) -> int:
    """Worker processes as one cluster, or this host's part of one.

    What is wrong with the configuration is told before any is started.
    """
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
            lambda: Cluster(partial(_command, directory), processes, addresses(), watchdog), policy, stop, systemd
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
    at = next((i for i, word in enumerate(given) if word.split("=")[0] == "--processes"), None)
    if at is None:
        given += ["--over-hosts"]
    else:
        del given[at : at + (1 if "=" in given[at] else 2)]
        given += ["--process-id", str(process), *(word for one in addresses for word in ("--address", one))]
    given += ["--report-fd", str(fd)]
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
