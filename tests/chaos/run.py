"""One round of chaos: a stream, its faults, and what the tables say afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from flows.commands.audit import told
from infra.clickhouse.audit import audit
from infra.clickhouse.client import Address, connect
from tests.chaos.compare import differences, miscounted
from tests.chaos.faults import inject
from tests.chaos.plan import OF_INPUT, Fault, length_s
from tests.chaos.stage import Stage, Stuck
from tests.chaos.stream import Sender, Stream

_POLL_S = 0.05
_RETENTION_S = 10 * 365 * 86_400

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much there is to disturb. rate: readings a second of all sensors together."""

    sensors: int
    rate: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """A fault that is over.

    seconds: from its end until something sent since, of every partition, was stored; None for faults of the input.
    """

    fault: Fault
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """What came of it.

    sent: messages. behind_s: how far the sender fell behind. wrong: in words, nothing when all is well.
    """

    sent: int
    behind_s: float
    recovered: list[Recovered]
    wrong: list[str]


def run_round(home: Path, seed: int, faults: Sequence[Fault], size: Size, tell: Tell) -> Round:
    """Run it in an empty directory."""
    stream = Stream(seed=seed, sensors=size.sensors, rate=size.rate, seconds=length_s(faults), faults=faults)
    recovered: list[Recovered] = []
    wrong: list[str] = []
    with Stage(home, small_disk=any(one.kind == "disk-full" for one in faults)) as stage:
        stage.start()
        sender = Sender(stream, stage.broker.bootstrap, stage.topic)
        try:
            for fault in faults:
                _wait_until(stage, sender, fault.at_s)
                recovered.append(_suffer(stage, fault, sender))
                tell(_told(recovered[-1]))
            _wait_until(stage, sender, stream.seconds)
            tell("all is sent; reading it once more, undisturbed")
            stage.finish()
            wrong += _judge(stage)
        except Stuck as stuck:
            wrong.append(str(stuck))
        finally:
            sender.close()
    return Round(sender.sent, sender.behind_s, recovered, wrong)


def _wait_until(stage: Stage, sender: Sender, at_s: float) -> None:
    while sender.running and sender.at_s < at_s:
        stage.keep_running()
        sleep(_POLL_S)


def _suffer(stage: Stage, fault: Fault, sender: Sender) -> Recovered:
    if fault.kind in OF_INPUT:
        return Recovered(fault, None)
    began_s = monotonic()
    inject(stage, fault)
    if fault.kind not in ("sigterm", "kill-all"):  # these end with a start, which is part of recovering
        began_s = monotonic()
    stage.flows_again(lambda: sender.running)
    return Recovered(fault, monotonic() - began_s)


def _told(one: Recovered) -> str:
    after = "in the input" if one.seconds is None else f"flows again after {one.seconds:.1f} s"
    return f"{one.fault.at_s:6.1f} s  {one.fault.kind:22} {after}"


def _judge(stage: Stage) -> list[str]:
    """What is wrong with the tables."""
    one, other = stage.direct.database, stage.undisturbed.database
    with connect(Address(port=stage.clickhouse.port, database=one)) as client:
        found = audit(client, retention_s=_RETENTION_S, fresh_s=-1)
        return [
            *(f"audit: {told(finding)}" for finding in found.findings),
            *miscounted(client, one, stage.sent()),
            *differences(client, one, other),
        ]
