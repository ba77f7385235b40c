"""`make quality`: how good the verdicts are, on labels nobody here made and on simulated faults."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows import configuration
from flows.commands.common import wide_console
from flows.settings import Settings, SettingsError
from models.importing import KindError
from tests.quality import cost_section, nab, nab_section, report, simulator_section, skab, skab_section
from tests.quality.report import ReportError, Section
from tests.quality.runs import Advance

Track = Callable[[str, int], Advance]
"""Begins a part of so many readings, named so; what it gives is told how many more are done."""


def nab_part(settings: Settings, track: Track, options: argparse.Namespace) -> Section:
    """The Numenta Anomaly Benchmark."""
    files = nab_section.load(quick=options.quick)
    return nab_section.section(settings, files, track("NAB", nab_section.readings(files)))


def skab_part(settings: Settings, track: Track, options: argparse.Namespace) -> Section:
    """The Skoltech Anomaly Benchmark."""
    files = skab_section.load(quick=options.quick)
    return skab_section.section(settings, files, track("SKAB", sum(len(file.values) for file in files)))


def simulator_part(settings: Settings, track: Track, options: argparse.Namespace) -> Section:
    """Simulated sensors."""
    paces = [simulator_section.QUICK] if options.quick else [simulator_section.FAST, simulator_section.SLOW]
    readings = len(options.seeds) * sum(pace.readings for pace in paces)
    return simulator_section.section(settings, paces, options.seeds, track("simulator", readings))


def cost_part(settings: Settings, track: Track, options: argparse.Namespace) -> Section:
    """Microseconds of each detector."""
    return cost_section.section(settings, track("cost", len(settings.detectors)), quick=options.quick)


PARTS: dict[str, Callable[[Settings, Track, argparse.Namespace], Section]] = {
    "nab": nab_part,
    "skab": skab_part,
    "simulator": simulator_part,
    "cost": cost_part,
}


def run(settings: Settings, options: argparse.Namespace, console: Console) -> list[Section]:
    """The parts asked for; one whose data is not there is said in a line, and left out."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    sections = []
    with Progress(*columns, console=console, transient=True) as progress:

        def track(name: str, total: int) -> Advance:
            task = progress.add_task(name, total=total)
            return lambda done: progress.advance(task, done)

        for name in [options.only] if options.only else PARTS:
            try:
                sections.append(PARTS[name](settings, track, options))
            except (nab.NoDataError, skab.NoDataError) as missing:
                console.print(str(missing), highlight=False, soft_wrap=True)
    return sections


def conditions(options: argparse.Namespace) -> str:
    """When and how."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "river"))
    configured = options.config or "the default configuration"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {configured}, one causal pass, every reading scored before it is learnt; "
        f"Python {platform.python_version()}, {packages}, {os.cpu_count()} {platform.machine()} cores."
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Exits when it is wrong."""
    parser = argparse.ArgumentParser(prog="make quality ARGS=...", description=__doc__)
    parser.add_argument("--only", choices=list(PARTS), help="one part instead of all")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(simulator_section.SEEDS), help="of the simulator; nobody tuned on"
    )
    parser.add_argument("--quick", action="store_true", help="a few files, a short simulation: to see that it works")
    parser.add_argument("--config", type=Path, help="a streamgauge.toml, to compare with the default configuration")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this file, as docs/quality.md")
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.quick or options.config):
        parser.error("--write wants all parts, whole, with the default configuration")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Missed targets are only said; exit code 1 when something could not be done."""
    options, console = parsed(arguments), wide_console()
    try:
        settings = configuration.load(options.config, {}) if options.config else Settings()
        sections = run(settings, options, console)
        report.show(sections, conditions(options), console)
        if options.write:
            if len(sections) < len(PARTS):
                raise ReportError(f"{options.write} is left as it is: parts are missing")
            report.write(report.markdown(sections, conditions(options)), options.write)
    except (SettingsError, KindError, ReportError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
