"""How each kind of fault is brought about. A function returns when the fault is over."""

import os
from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSTOP
from time import sleep

from tests.chaos.plan import OF_INPUT, Fault
from tests.chaos.stage import Stage, Stuck
from tests.kafka import eventually
from tests.recovery.proxy import Proxy, Weather

_REFUSED_WITHIN_S = 60.0
_PAGE_BYTES = 4096


def inject(stage: Stage, fault: Fault) -> None:
    """Let it happen and end. Raises Stuck when the flow does not take it as it should."""
    _KINDS[fault.kind](stage, fault)


def _victim(stage: Stage, fault: Fault) -> int | None:
    """A worker; None when none runs, since an earlier fault is not over yet."""
    workers = stage.workers
    return workers[int(fault.pick * len(workers))] if workers else None


def _kill_one(stage: Stage, fault: Fault) -> None:
    if (pid := _victim(stage, fault)) is not None:
        os.kill(pid, SIGKILL)


def _kill_all(stage: Stage, fault: Fault) -> None:
    for pid in (stage.flow.pid, *stage.workers):
        os.kill(pid, SIGKILL)
    stage.flow.stop()
    stage.start()


def _sigterm(stage: Stage, fault: Fault) -> None:
    stage.drain()
    stage.start()


def _pause(stage: Stage, fault: Fault) -> None:
    if (pid := _victim(stage, fault)) is not None:
        os.kill(pid, SIGSTOP)
        sleep(fault.lasts_s)
        os.kill(pid, SIGCONT)


def _bad(proxy: Callable[[Stage], Proxy], weather: Weather, *, cut: bool = False) -> Callable[[Stage, Fault], None]:
    """A connection like that while the fault lasts; afterwards reset, if it is to be cut."""

    def bad(stage: Stage, fault: Fault) -> None:
        proxy(stage).set(weather)
        sleep(fault.lasts_s)
        proxy(stage).set(Weather())
        if cut:
            proxy(stage).cut()

    return bad


def _cut(proxy: Callable[[Stage], Proxy]) -> Callable[[Stage, Fault], None]:
    return lambda stage, fault: proxy(stage).cut()


def _broker(stage: Stage) -> Proxy:
    return stage.broker_proxy


def _clickhouse(stage: Stage) -> Proxy:
    return stage.clickhouse_proxy


def _clickhouse_kill(stage: Stage, fault: Fault) -> None:
    stage.clickhouse.kill()
    sleep(fault.lasts_s)
    stage.clickhouse.start()


def _disk_full(stage: Stage, fault: Fault) -> None:
    if stage.disk is None:
        raise Stuck("the recovery store lies on no disk that could be filled")
    stage.disk.fill()
    try:
        sleep(fault.lasts_s)
    finally:
        stage.disk.empty()


def _store_damaged(stage: Stage, fault: Fault) -> None:
    """Told in one line at start, whatever is in the file; with the file put back it goes on."""
    stage.drain()
    parts = sorted(stage.recovery_dir.glob("part-*.sqlite3"))
    victim = parts[int(fault.pick * len(parts))]
    whole = victim.read_bytes()
    # Every page but the first: the file opens, and what it held is gone.
    victim.write_bytes(whole[:_PAGE_BYTES] + b"\xa5" * (len(whole) - _PAGE_BYTES))
    said = len(stage.proxied.log)
    stage.start()
    try:
        if not eventually(lambda: stage.flow.returncode is not None, within_s=_REFUSED_WITHIN_S):
            raise Stuck("a damaged recovery store is not refused at start")
        told = stage.proxied.log[said:]
        if stage.flow.returncode == 0 or "Traceback" in told or "panicked" in told:
            raise Stuck(f"a damaged recovery store, exit code {stage.flow.returncode}:\n{told}")
    finally:
        stage.flow.stop()
        victim.write_bytes(whole)
        stage.start()


_KINDS: dict[str, Callable[[Stage, Fault], None]] = {
    "kill-one": _kill_one,
    "kill-all": _kill_all,
    "sigterm": _sigterm,
    "pause": _pause,
    "broker-cut": _cut(_broker),
    "broker-refused": _bad(_broker, Weather(refuses=True)),
    "broker-silent": _bad(_broker, Weather(silent=True), cut=True),
    "broker-slow": _bad(_broker, Weather(delay_s=0.2)),
    "broker-narrow": _bad(_broker, Weather(bytes_per_s=1_000_000)),
    "clickhouse-cut": _cut(_clickhouse),
    "clickhouse-refused": _bad(_clickhouse, Weather(refuses=True)),
    "clickhouse-500": _bad(_clickhouse, Weather(fails=True), cut=True),
    "clickhouse-slow": _bad(_clickhouse, Weather(delay_s=0.3)),
    "clickhouse-unanswered": _bad(_clickhouse, Weather(unanswered=True), cut=True),
    "clickhouse-kill": _clickhouse_kill,
    "disk-full": _disk_full,
    "store-damaged": _store_damaged,
    **{kind: lambda stage, fault: None for kind in OF_INPUT},
}
