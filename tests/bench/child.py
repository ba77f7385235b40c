"""The process of one measurement: told what to do by a JSON argument, answers with a JSON line."""

import json
import sys
from dataclasses import asdict
from importlib import import_module

import msgspec

from tests.bench.measure import Input, measure


def main() -> None:
    """Run the job of one module; only that module is imported, so that its memory is its own."""
    told = json.loads(sys.argv[1])
    warm, given = (msgspec.convert(told[name], Input | None) for name in ("warm", "given"))
    print(json.dumps(asdict(measure(import_module(f"tests.bench.{told['job']}").run, warm, given))))


if __name__ == "__main__":
    main()
