"""What is to go wrong, and when: a seeded sequence of faults, each at an instant of the stream, so of event time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

LEAD_S = 5.0
"""Seconds of the stream before the first fault, and after the last."""

KINDS: dict[str, str] = {
    "kill-one": "kill -9 of one worker process",
    "kill-all": "kill -9 of all worker processes and of their supervisor, started again",
    "sigterm": "SIGTERM, drained, started again",
    "pause": "SIGSTOP of one worker process for some seconds, then SIGCONT",
    "broker-cut": "all connections to the broker reset; new ones work at once",
    "broker-refused": "the broker's port refuses",
    "broker-silent": "connections to the broker stay, nothing comes through, then they are reset",
    "broker-slow": "every piece from and to the broker 0.2 s late",
    "broker-narrow": "1 MB/s from the broker",
    "clickhouse-cut": "all connections to ClickHouse reset",
    "clickhouse-refused": "ClickHouse's port refuses",
    "clickhouse-500": "something answers HTTP 500 for ClickHouse",
    "clickhouse-slow": "every piece from and to ClickHouse 0.3 s late",
    "clickhouse-unanswered": "inserts arrive, answers do not, then the connections are reset",
    "clickhouse-kill": "kill -9 of ClickHouse, started again on the same data",
    "disk-full": "no space left for the recovery store",
    "store-damaged": "a file of the recovery store damaged: refused at start; the file put back",
    "clock-jump": "one reading in ten stamped an hour ahead or an hour behind",
    "bad-payloads": "a fifth of the messages are no readings",
    "duplicated": "a producer sends everything twice",
    "reordered": "a producer sends in disorder, within lateness and beyond",
}
"""Every kind of fault and what is done."""

OF_INPUT = ("clock-jump", "bad-payloads", "duplicated", "reordered")
"""Kinds that are part of the stream; nothing has to recover from them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    at_s: when, in seconds of the stream. lasts_s: for how long, where it lasts. pick: chooses the victim, 0 .. 1.
    """

    kind: str
    at_s: float
    lasts_s: float
    pick: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How long faults last, and how much of the stream lies between two, seconds from .. to."""

    lasts_s: tuple[float, float] = (1.0, 4.0)
    calm_s: tuple[float, float] = (5.0, 8.0)


def plan(seed: int, number: int, *, kinds: Sequence[str], pace: Pace) -> list[Fault]:
    """So many faults, every kind equally often, in an order and of lengths that depend on the seed alone."""
    rng = Random(seed)
    deck: list[str] = []
    while len(deck) < number:
        some = sorted(kinds)
        rng.shuffle(some)
        deck += some
    at_s, faults = LEAD_S, []
    for kind in deck[:number]:
        lasts_s = round(rng.uniform(*pace.lasts_s), 1)
        faults.append(Fault(kind, round(at_s, 1), lasts_s, rng.random()))
        at_s += lasts_s + rng.uniform(*pace.calm_s)
    return faults


def rounds(faults: Sequence[Fault], size: int) -> list[list[Fault]]:
    """The faults in rounds of so many, each a stream of its own that begins at 0 s."""
    some = [faults[start : start + size] for start in range(0, len(faults), size)]
    return [[replace(one, at_s=round(one.at_s - part[0].at_s + LEAD_S, 1)) for one in part] for part in some]


def length_s(faults: Sequence[Fault]) -> float:
    """How much stream a round needs."""
    return max((one.at_s + one.lasts_s for one in faults), default=LEAD_S) + LEAD_S
