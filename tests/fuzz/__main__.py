"""`make fuzz`: damaged payloads through the intake of a partition; each must end as readings or as rejects.

Batch number N of a seed is always the same: `--first N --batches 1` shows one again, also one that killed the process.
"""

import argparse
import sys
import time
from collections import Counter
from random import Random

import msgspec
import numpy as np
from rich.console import Console

from operators.batches import Messages
from operators.decode_arrow import is_arrow, read_table
from operators.intake import PartitionIntake
from operators.registry import Registry
from operators.rejects import REASONS
from tests.fuzz.guided import run
from tests.fuzz.intake import CONFIG
from tests.fuzz.mutate import mutated, seeds
from tests.fuzz.targets import INSTRUMENTED
from tests.operators.payloads import NOW_MS

BATCH = 1_000


def run_batch(seed: int, number: int) -> Counter[str]:
    """How many payloads ended how. Raises AssertionError when one was lost, and whatever the intake raises."""
    payloads = mutated(Random(f"{seed}/{number}"), seeds())
    messages = Messages(
        [next(payloads) for _ in range(BATCH)], np.arange(BATCH, dtype=np.int64), np.full(BATCH, NOW_MS, np.int64)
    )
    intake = PartitionIntake("fuzz", 0, config=CONFIG, registry=Registry(), state=None)
    batch = intake.feed(messages)
    read = set() if batch.readings is None else set(batch.readings.offset.tolist())
    rejects = [] if batch.rejects is None else batch.rejects.to_dicts()
    refused = {row["offset"] for row in rejects}
    assert all(row["reason"] in REASONS and row["detail"] for row in rejects)
    assert sum(one.messages for one in batch.tallies) == BATCH
    neither = [messages.payloads[place] or b"" for place in set(range(BATCH)) - read - refused]
    for payload in neither:
        assert _holds_nothing(payload), f"lost: {payload!r}"
    found = Counter(row["reason"] for row in rejects)
    found["accepted"] = len(read - refused)
    found["accepted in part"] = len(read & refused)
    found["without a reading"] = len(neither)
    return found


def _holds_nothing(payload: bytes) -> bool:
    """Whether it is a list or a table of no readings, which is no mistake."""
    if is_arrow(payload):
        return bool(read_table(payload, max_rows=BATCH).num_rows == 0)
    return bool(msgspec.json.decode(payload) == [])


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 with the batch that shows a mistake."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=...", description=__doc__)
    parser.add_argument("--batches", type=int, default=1_000, help=f"of {BATCH:,} payloads each")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--guided", choices=INSTRUMENTED, metavar="TARGET", help=f"guided by coverage: {', '.join(INSTRUMENTED)}"
    )
    parser.add_argument("--seconds", type=int, default=60, help="of a guided run")
    parser.add_argument("--keep", action="store_true", help="what a guided run finds, in tests/fuzz/corpus")
    options = parser.parse_args(arguments)
    if options.guided:
        sys.exit(run(options.guided, seconds=options.seconds, keep=options.keep))
    console, total, began_s = Console(), Counter[str](), time.monotonic()
    for number in range(options.first, options.first + options.batches):
        if number % 50 == 0:
            console.print(f"batch {number:,}", highlight=False)
        try:
            total += run_batch(options.seed, number)
        except Exception as error:
            console.print(
                f"[red]batch {number} of seed {options.seed}:[/] {type(error).__name__}: {error}", markup=True
            )
            sys.exit(1)
    for name, count in total.most_common():
        console.print(f"  {name:20} {count:>12,}", highlight=False)
    console.print(f"{options.batches * BATCH:,} payloads in {time.monotonic() - began_s:.0f} s, none lost, no crash")


if __name__ == "__main__":
    main()
