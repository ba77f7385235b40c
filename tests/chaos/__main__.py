"""`make chaos`: a flow under load that is killed, cut off and lied to ends in the tables of an undisturbed one.

Everything depends on the seed: `--seed N --only kill-one` shows a kind again.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from tests.chaos.plan import KINDS, OF_INPUT, Pace, plan, rounds
from tests.chaos.run import Round, Size, run_round
from tests.chaos.stage import can_fill_disks

_ROUND = 12
"""So many faults share services: the embedded broker keeps all it holds in memory."""


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 when a table was not as it should be, the flow did not go on, or Ctrl-C ended it."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=20_000, help="readings a second of all sensors together")
    parser.add_argument("--only", choices=sorted(KINDS), action="append", help="only this kind; may be repeated")
    options = parser.parse_args(arguments)
    console, size = wide_console(), Size(sensors=options.sensors, rate=options.rate)
    kinds = options.only or [kind for kind in KINDS if kind != "disk-full" or can_fill_disks()]
    if not options.only and "disk-full" not in kinds:
        console.print("without the kind disk-full: file systems can be mounted by root only")
    done: list[Round] = []
    parts = rounds(plan(options.seed, options.faults, kinds=kinds, pace=Pace()), _ROUND)
    began_s = time.monotonic()
    with suppress(KeyboardInterrupt):  # what was found so far is told
        for number, faults in enumerate(parts):
            console.print(f"round {number + 1} of {len(parts)}: {len(faults)} faults", highlight=False)
            with tempfile.TemporaryDirectory(prefix="streamgauge-chaos-", ignore_cleanup_errors=True) as name:
                one = run_round(Path(name), options.seed + number, faults, size, lambda said: _say(console, said))
            done.append(one)
            for text in one.wrong:
                console.print(f"[red]wrong[/] {text}", highlight=False, soft_wrap=True)
    _summarise(done, size, time.monotonic() - began_s, console)
    sys.exit(len(done) < len(parts) or any(one.wrong for one in done))


def _say(console: Console, said: str) -> None:
    console.print(f"  {said}", highlight=False)


def _summarise(done: list[Round], size: Size, took_s: float, console: Console) -> None:
    recovered = [one for part in done for one in part.recovered]
    table = Table("fault", "times", "median s", "longest s", "what was done", box=SIMPLE_HEAD)
    for kind, what in KINDS.items():
        took = [one.seconds for one in recovered if one.fault.kind == kind and one.seconds is not None]
        times = sum(one.fault.kind == kind for one in recovered)
        figures = (f"{statistics.median(took):.1f}", f"{max(took):.1f}") if took else ("", "")
        if times:
            table.add_row(kind, str(times), *figures, what)
    console.print(table)
    console.print(
        "seconds: from a fault's end, or from the signal, until something sent since, of every partition, was stored; "
        f"{', '.join(OF_INPUT)} are part of the input",
        soft_wrap=True,
    )
    sent, wrong = sum(one.sent for one in done), sum(len(one.wrong) for one in done)
    behind_s = max((one.behind_s for one in done), default=0.0)
    console.print(
        f"{len(recovered)} faults in {took_s / 60:.0f} min, {sent:,} messages sent at {size.rate:,.0f}/s by "
        f"{size.sensors:,} sensors, at most {behind_s:.1f} s behind",
        highlight=False,
    )
    verdict = (
        "[red]something is wrong, see above[/]"
        if wrong
        else "[green]0 lost, 0 double, tables identical, audit clean[/]"
    )
    console.print(verdict)


if __name__ == "__main__":
    main()
