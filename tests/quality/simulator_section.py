"""Simulated sensors of seeds that nobody tuned on: every kind of fault, at two paces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flows.settings import Settings
from infra.simulate.config import FAULT_KINDS, SimulationConfig
from infra.simulate.simulation import Simulation
from tests.quality import simulated
from tests.quality.report import Section, Table, Target, number
from tests.quality.runs import Advance, Flags, judge
from tests.quality.simulated import Kind, Recording, Result

SENSORS = 35
SEEDS = (101, 102, 103)
WARM_UP_MS = 3_600_000
F1, RECALL, ACCURACY, FALSE_ALARMS = 0.95, 0.80, 0.98, 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each sensor sends, for how long, the warm-up of an hour included."""

    name: str
    interval_s: float
    hours: float

    def record(self, seed: int) -> Recording:
        """Readings of one seed."""
        return simulated.record(seed=seed, sensors=SENSORS, interval_s=self.interval_s, hours=self.hours)

    @property
    def readings(self) -> int:
        """About so many, of one seed."""
        return round(SENSORS * self.hours * 3600 / self.interval_s)


FAST, SLOW = Pace("every 0.35 s", 0.35, 4.0), Pace("every 10 s", 10.0, 25.0)
QUICK = Pace("every 2 s", 2.0, 2.0)


def section(settings: Settings, paces: Sequence[Pace], seeds: Sequence[int], advance: Advance) -> Section:
    """Everything about these paces, each with all seeds."""
    summary, targets, costs = [], [], []
    verdicts: dict[str, list[Result]] = {}
    for pace in paces:
        found: dict[str, list[Result]] = {}
        for seed in seeds:
            recording = pace.record(seed)
            alarms, us = _alarms(settings, recording, seed, advance)
            costs.append(f"{us:.1f}")
            for name, alarm in alarms.items():
                found.setdefault(name, []).append(simulated.score(recording, alarm, warm_up_ms=WARM_UP_MS))
        verdicts[pace.name] = found["verdict"]
        summary += [_row(f"{pace.name}: {name}", results) for name, results in found.items()]
        targets += _targets(pace.name, found["verdict"])
    titles = ("", "F1", "precision", "recall", "accuracy", "false")
    told = f"seeds {', '.join(map(str, seeds))}, {SENSORS} sensors"
    return Section(
        (Table(f"Simulator, {told}: per sensor and minute", titles, tuple(summary)), *_by_kind(verdicts)),
        tuple(targets),
        (
            "False alarms: episodes that touch no fault, of a sensor and day. Silence is told by its gap, after three "
            "intervals, whoever else is asked. Delay: to the first flagged reading of a found episode, median. "
            f"{', '.join(f'{pace.name}: {pace.hours - 1:g} h' for pace in paces)} of each seed after a warm-up of 1 h.",
            f"The sensor step took {' / '.join(costs)} µs CPU a reading in these runs.",
        ),
    )


def _alarms(settings: Settings, recording: Recording, seed: int, advance: Advance) -> tuple[dict[str, Flags], float]:
    """(n,) alarms of the verdict, and of each rule and model alone; and what a reading cost, microseconds."""
    columns = recording.columns
    series = Simulation(SimulationConfig(seed=seed, sensors=SENSORS)).series
    said = judge(settings, series, columns.sensor, columns.time_ms, columns.value, scores=False, advance=advance)
    return {"verdict": said.is_anomaly, **said.flagged}, said.us


def _row(title: str, results: Sequence[Result]) -> tuple[str, ...]:
    one = pooled(results)
    return (
        title,
        number(one.f1, ".3f"),
        number(one.true_positives / max(one.true_positives + one.false_positives, 1), ".3f"),
        number(one.true_positives / max(one.true_positives + one.false_negatives, 1), ".3f"),
        number(one.accuracy, ".4f"),
        number(one.false_alarms_per_day, ".2f"),
    )


def _targets(pace: str, results: Sequence[Result]) -> list[Target]:
    one = pooled(results)
    recall = {kind: found.recall for kind, found in one.kinds.items()}
    worst = min(recall, key=lambda kind: recall[kind])
    return [
        Target(f"Simulator, {pace}, F1", one.f1, F1, style=".3f"),
        Target(f"Simulator, {pace}, recall of the worst kind ({worst})", recall[worst], RECALL, style=".3f"),
        Target(f"Simulator, {pace}, accuracy", one.accuracy, ACCURACY, style=".4f"),
        Target(
            f"Simulator, {pace}, false alarms of a sensor and day", one.false_alarms_per_day, FALSE_ALARMS, at_most=True
        ),
    ]


def pooled(results: Sequence[Result]) -> Result:
    """Of several seeds, of the same length, together. Delays: the median of theirs."""
    return Result(
        sum(one.true_positives for one in results),
        sum(one.false_positives for one in results),
        sum(one.false_negatives for one in results),
        sum(one.true_negatives for one in results),
        float(np.mean([one.false_alarms_per_day for one in results])),
        {kind: _pooled_kind([one.kinds[kind] for one in results]) for kind in FAULT_KINDS},
    )


def _pooled_kind(kinds: Sequence[Kind]) -> Kind:
    delays = [one.delay_s for one in kinds if np.isfinite(one.delay_s)]
    return Kind(
        sum(one.windows for one in kinds),
        sum(one.found for one in kinds),
        sum(one.episodes for one in kinds),
        sum(one.episodes_found for one in kinds),
        float(np.median(delays)) if delays else np.nan,
    )


def _by_kind(verdicts: Mapping[str, Sequence[Result]]) -> list[Table]:
    """One table for each pace."""
    tables = []
    for pace, results in verdicts.items():
        rows = tuple(
            (
                kind,
                f"{one.found:,} of {one.windows:,}",
                number(one.recall, ".3f"),
                f"{one.episodes_found:,} of {one.episodes:,}" if one.episodes else "",
                number(one.delay_s),
            )
            for kind, one in pooled(results).kinds.items()
        )
        columns = ("", "minutes found", "recall", "episodes found", "delay s")
        tables.append(Table(f"The verdict by kind of fault, {pace}", columns, rows))
    return tables
