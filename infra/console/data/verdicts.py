"""What rules, models and challengers say of readings, side by side and against the truth: all from one look at them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.console.data.lately import looked_at
from infra.console.dataset import Ask
from operators.records import RULES

TOGETHER = ("= rules", "= models", "= verdict")
"""The rules together, the models together, and the verdict."""

_MOST = 5_000
_LOOKED_AT = 20_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Combination:
    """Readings of which the same was said. names: who flags them, those of TOGETHER among them.

    known: their label says the truth. faulty: it is a fault.
    """

    names: frozenset[str]
    known: bool
    faulty: bool
    readings: int


@dataclass(frozen=True, slots=True)
class Said:
    """combinations: few, however many the readings. detectors: all that score or flag, by name."""

    combinations: Sequence[Combination]
    detectors: Sequence[str]

    def count(self, wanted: Callable[[Combination], bool]) -> int:
        """Readings of the combinations that are wanted."""
        return sum(one.readings for one in self.combinations if wanted(one))


def said(ask: Ask) -> Said:
    """Of the readings asked about. Raises Problem, ClickHouseError."""
    found = ask.table(
        f"""
        SELECT any(flagged_by) AS flags, any(rule_anomaly) AS rules, any(model_anomaly) AS models,
            any(is_anomaly) AS verdict, any(label != '') AS known, any(label NOT IN ('', 'normal')) AS faulty,
            count() AS readings
        FROM readings FINAL {looked_at(ask)}
        GROUP BY cityHash64(flagged_by, rule_anomaly, model_anomaly, is_anomaly, label = '', label = 'normal')
        ORDER BY readings DESC, flags""",
        max_rows=_MOST,
    )
    combinations = [_combination(row) for row in found.rows()]
    flagging = {name for one in combinations for name in one.names}
    scoring = ask.table(
        f"""
        SELECT DISTINCT arrayJoin(mapKeys(scores)) AS detector
        FROM (SELECT scores FROM readings {looked_at(ask)} LIMIT {_LOOKED_AT})"""
    )
    return Said(combinations, sorted((flagging | set(scoring.columns.get("detector", []))) - set(TOGETHER)))


def _combination(row: Row) -> Combination:
    together = (name for name, yes in zip(TOGETHER, (row["rules"], row["models"], row["verdict"]), strict=True) if yes)
    return Combination(
        frozenset((*row["flags"], *together)), bool(row["known"]), bool(row["faulty"]), int(row["readings"])
    )


def quality(found: Said, roles: Mapping[str, str]) -> list[Row]:
    """How right each is: precision, recall and f1 of the readings whose truth is known, None without any fault.

    agreement: share of all readings on which it says what the verdict says. The verdict first, then by f1.
    """
    rows = [_quality(found, name, roles) for name in (*TOGETHER, *found.detectors)]
    place = {name: number for number, name in enumerate(reversed(TOGETHER))}
    return sorted(rows, key=lambda row: (place.get(row["detector"], len(place)), -(row["f1"] or 0), row["detector"]))


def _quality(found: Said, name: str, roles: Mapping[str, str]) -> Row:
    readings = found.count(lambda one: True)
    hits = found.count(lambda one: name in one.names and one.faulty)
    false_alarms = found.count(lambda one: name in one.names and one.known and not one.faulty)
    faults = found.count(lambda one: one.faulty)
    differing = found.count(lambda one: (name in one.names) != (TOGETHER[2] in one.names))
    return {
        "detector": name,
        "role": "together" if name in TOGETHER else roles.get(name, "check" if name in RULES else ""),
        "flagged": found.count(lambda one: name in one.names),
        "agreement": _ratio(readings - differing, readings),
        "hits": hits,
        "false_alarms": false_alarms,
        "missed": faults - hits,
        "precision": _ratio(hits, hits + false_alarms),
        "recall": _ratio(hits, faults),
        "f1": _ratio(2 * hits, hits + false_alarms + faults) if faults else None,
    }


def agreement(found: Said) -> list[Row]:
    """Each with each: readings that both flag, that one alone flags; Jaccard's index, and kappa, which chance cannot
    make large."""
    names = [*found.detectors, TOGETHER[2]]
    readings = found.count(lambda one: True)
    alone: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for one in found.combinations:
        for name in one.names:
            alone[name] += one.readings
        both.update({(a, b): one.readings for a in one.names for b in one.names})
    rows = []
    for a in names:
        for b in names:
            either = alone[a] + alone[b] - both[a, b]
            rows.append(
                {
                    "one": a,
                    "other": b,
                    "both": both[a, b],
                    "only_one": alone[a] - both[a, b],
                    "only_other": alone[b] - both[a, b],
                    "jaccard": _ratio(both[a, b], either),
                    "kappa": _kappa(alone[a], alone[b], both[a, b], readings),
                }
            )
    return rows


def _kappa(one: int, other: int, both: int, readings: int) -> float | None:
    """Cohen's: agreement beyond what two would have that know nothing of each other."""
    if not readings:
        return None
    observed = 1 - (one + other - 2 * both) / readings
    by_chance = (one * other + (readings - one) * (readings - other)) / readings**2
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else None


def rules_and_models(found: Said) -> list[Row]:
    """What rules together say, and models: four rows; of each the readings, and how many are faults and how many are
    known not to be."""
    rows = []
    for rules in (True, False):
        for models in (True, False):
            chosen = [
                one
                for one in found.combinations
                if (TOGETHER[0] in one.names) == rules and (TOGETHER[1] in one.names) == models
            ]
            rows.append(
                {
                    "rules": "flag" if rules else "do not flag",
                    "models": "flag" if models else "do not flag",
                    "readings": sum(one.readings for one in chosen),
                    "faults": sum(one.readings for one in chosen if one.faulty),
                    "normal": sum(one.readings for one in chosen if one.known and not one.faulty),
                    "labelled": sum(one.readings for one in chosen if one.known),
                }
            )
    return rows


def challengers(found: Said, roles: Mapping[str, str]) -> list[Row]:
    """Each challenger beside the champion, the verdict: where they differ, and who is right there if it is known."""
    return [_beside(found, name) for name, role in sorted(roles.items()) if role == "challenger"]


def _beside(found: Said, name: str) -> Row:
    verdict = TOGETHER[2]
    truth = [one for one in found.combinations if one.known]
    mine, champion = (_quality(found, one, {}) for one in (name, verdict))
    return {
        "challenger": name,
        "flagged": mine["flagged"],
        "both": found.count(lambda one: name in one.names and verdict in one.names),
        "only_challenger": found.count(lambda one: name in one.names and verdict not in one.names),
        "only_champion": found.count(lambda one: name not in one.names and verdict in one.names),
        "labelled": sum(one.readings for one in truth),
        "challenger_alone_right": _alone_right(truth, name, verdict),
        "champion_alone_right": _alone_right(truth, verdict, name),
        **{f"{key}_{who}": row[key] for key in ("precision", "recall", "f1") for who, row in _both(mine, champion)},
    }


def _both(mine: Row, champion: Row) -> tuple[tuple[str, Row], tuple[str, Row]]:
    return ("challenger", mine), ("champion", champion)


def _alone_right(truth: Iterable[Combination], name: str, other: str) -> int:
    return sum(
        one.readings for one in truth if (name in one.names) == one.faulty and (other in one.names) != one.faulty
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
