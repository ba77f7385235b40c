"""`python -m tests.dashboards`: how long each query of dashboards, alerts, analysts takes on millions of readings."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.clickhouse.named import named_queries
from infra.clickhouse.query import query
from infra.grafana.files import dashboards
from tests.bench.targets import show_targets
from tests.dashboards.boards import alert_questions, choices, questions
from tests.dashboards.large import large
from tests.dashboards.macros import Asked
from tests.dashboards.seeding import DEPLOYED_MS, Seeded
from tests.dashboards.test_boards import scoped

WANTED_S = 1.0
_POINTS = 500
"""Points of a chart: the time range is parted so."""


def sqls(seeded: Seeded) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, SQL and parameters of everything that is asked, over all that is stored."""
    interval_ms = (seeded.to_ms - seeded.from_ms) // _POINTS
    plain = Asked(from_ms=seeded.from_ms, to_ms=seeded.to_ms, interval_ms=interval_ms)
    for board in dashboards():
        opened = replace(plain, choices=choices(board, seeded, plain))
        for variable in board["templating"]["list"]:
            yield f"{board['uid']}: ${variable['name']}", opened.expand(variable["query"]), {}
        for question in questions():
            if question.board == board["uid"]:
                yield question.name, scoped(question, opened).expand(question.sql), {}
    lately = replace(plain, from_ms=seeded.to_ms - 600_000)
    for question in alert_questions():
        yield question.name, lately.expand(question.sql), {}
    for named in named_queries():
        span = {"since": seeded.from_ms, "until": seeded.to_ms, "at": DEPLOYED_MS - 3_600_000}
        instants = {one.name: f"{span[one.name] / 1000:.3f}" for one in named.parameters if one.is_time}
        yield f"streamgauge query --name {named.name}", named.sql, named.with_defaults(instants)


def measure(seeded: Seeded, *, repeat: int = 3) -> list[tuple[float, str]]:
    """(seconds, name) of each query, the best of some runs, of twice as many for a slow one; the slowest first."""
    found = []
    for name, sql, parameters in sqls(seeded):
        best_s = float("inf")
        for run in range(2 * repeat):
            if run >= repeat and best_s < WANTED_S:
                break
            began_s = time.perf_counter()
            query(seeded.client, sql, parameters=parameters, max_rows=50_000)
            best_s = min(best_s, time.perf_counter() - began_s)
        found.append((best_s, name))
    return sorted(found, reverse=True)


def run(*, readings: int, most: int, console: Console) -> bool:
    """Measure and print, `most` of the slowest; False when a query takes longer than wanted."""
    with large(readings) as seeded:
        ((stored,),) = seeded.client.query("SELECT count() FROM readings").result_rows
        console.print(f"{stored:,} readings of {(seeded.to_ms - seeded.from_ms) // 60_000} minutes")
        found = measure(seeded)
    table = Table("query", "s")
    for seconds, what in found[:most]:
        table.add_row(what, f"{seconds:.2f}")
    console.print(table)
    slow = [what for seconds, what in found if seconds > WANTED_S]
    told = f"{len(found)} queries, the slowest {found[0][0]:.2f} s, at most {WANTED_S:.0f} s wanted"
    show_targets([(not slow, told)], console)
    return not slow


def main() -> int:
    """1 when a query takes longer than wanted."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards", description=__doc__)
    parser.add_argument("--readings", type=int, default=5_000_000)
    parser.add_argument("--show", type=int, default=15, help="so many of the slowest")
    given = parser.parse_args()
    return not run(readings=given.readings, most=given.show, console=wide_console())


if __name__ == "__main__":
    sys.exit(main())
