"""`make bench`: how fast one worker is, beside its floor and beside Bytewax's own windows. One table, one run."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from tests.bench import report
from tests.bench.load import Load
from tests.bench.measure import Input, Measured, measure_apart

_WARM = 20_000
_SHARE = {"fold_window": 10}
"""Jobs that are given only one in so many messages."""


def run(load: Load, *, repeat: int, console: Console) -> bool:
    """Measure and print; False when the engine's windows do not hold what was produced."""
    amounts = {job: max(1, load.messages // _SHARE.get(job, 1)) for job in report.TITLES}
    topics = {"warm": min(_WARM, load.messages), **{f"of-{amount}": amount for amount in amounts.values()}}
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name, Broker(Path(name) / "broker") as broker:
        console.print(f"producing {load.messages:,} messages")
        load.produce(Connection(bootstrap=broker.bootstrap), topics)

        def given(topic: str) -> Input:
            return Input(broker.bootstrap, topic, topics[topic], tempfile.mkdtemp(dir=name))

        # Interleaved, so that a noisy minute hits all alike.
        runs: dict[str, list[Measured]] = {job: [] for job in amounts}
        for number in range(repeat):
            for job, amount in amounts.items():
                console.print(f"run {number + 1} of {repeat}: {report.TITLES[job]}")
                runs[job].append(measure_apart(job, given("warm"), given(f"of-{amount}")))
    report.show(load, runs, console)
    wrong = [one for one in runs["engine"] if (one.readings, one.counted_share) != (amounts["engine"], 1.0)]
    for one in wrong:
        console.print(f"[red]wrong: {one}[/]")
    return not wrong


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 when a result was wrong; missed targets are only said."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_500_000, help="readings to run through the engine")
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement; the median counts")
    options = parser.parse_args(arguments)
    load = Load(messages=options.messages, sensors=options.sensors)
    sys.exit(not run(load, repeat=options.repeat, console=Console()))


if __name__ == "__main__":
    main()
