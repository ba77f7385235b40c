"""Which alerts there must be, computed the plain way: from all readings of a sensor, all windows of a group, at once.

No state that is kept, no batches, no news between steps; slow on purpose.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flows.settings import Alert
from operators.alert_rows import alert_id
from tests.ports import MemoryTables

Row = Mapping[str, Any]


class Span(NamedTuple):
    """One episode. fired_ms: when it was told; ended_ms: when it had ended; known_ms: when that was known."""

    start_ms: int
    fired_ms: int
    ended_ms: int | None
    known_ms: int | None


class Look(NamedTuple):
    """A condition as it is from begin_ms to end_ms: whether it is as strong as to fire, and as to stay."""

    begin_ms: int
    end_ms: int
    fires: bool
    stays: bool


def spans(looks: Sequence[Look], *, for_ms: int, keep_ms: int, cool_ms: int) -> list[Span]:
    """The episodes of one condition, its looks in order of time."""
    found: list[Span] = []
    at = 0
    free_ms = -(10**18)
    while at < len(looks):
        start = looks[at].begin_ms
        if not looks[at].fires or start < free_ms:
            at += 1
            continue
        # As long as it holds without a break until it has lasted.
        fired = next(
            (i for i in range(at, len(looks)) if looks[i].end_ms - start >= for_ms or not looks[i].stays), None
        )
        if fired is None:
            break
        if not looks[fired].stays:
            at = fired + 1
            continue
        end = _end(looks, fired + 1, keep_ms)
        if end is None:
            found.append(Span(start, looks[fired].end_ms, None, None))
            break
        calm, known = end
        found.append(Span(start, looks[fired].end_ms, looks[calm].begin_ms, looks[known].end_ms))
        at, free_ms = known + 1, looks[calm].begin_ms + cool_ms
    return found


def _end(looks: Sequence[Look], at: int, keep_ms: int) -> tuple[int, int] | None:
    """Where the calm begins that lasts for keep_ms, and where that is known."""
    for calm in range(at, len(looks)):
        if looks[calm].stays or (calm > at and not looks[calm - 1].stays):
            continue
        for known in range(calm, len(looks)):
            if looks[known].stays:
                break
            if looks[known].end_ms - looks[calm].begin_ms >= keep_ms:
                return calm, known
    return None


def levels(alert: Alert, measure: float) -> tuple[bool, bool]:
    """Whether it fires, whether it stays; neither for NaN."""
    if alert.above is not None:
        return measure >= alert.above, measure >= (alert.above if alert.clear is None else alert.clear)
    assert alert.below is not None
    return measure <= alert.below, measure <= (alert.below if alert.clear is None else alert.clear)


Sensor = tuple[str, str]
"""sensor_id, and "topic/partition"."""


def in_order(tables: MemoryTables) -> dict[Sensor, list[Row]]:
    """Readings that move alerts on, in the order of their offsets."""
    rows: dict[Sensor, list[Row]] = defaultdict(list)
    for row in sorted(tables.final("readings"), key=lambda one: (one["partition"], one["offset"], one["idx"])):
        if row["quality"] == "ok":
            rows[row["sensor_id"], f"{row['topic']}/{row['partition']}"].append(row)
    return rows


def of_sensors(tables: MemoryTables, alert: Alert) -> dict[Sensor, list[Span]]:
    """The episodes of a rule on values; a grouped one's as they count for the group."""
    alone = alert.group_by == "none"
    times = {
        "for_ms": alert.for_.ms * alone,
        "keep_ms": alert.keep_firing_for.ms,
        "cool_ms": alert.cool_down.ms * alone,
    }
    found = {}
    for sensor, rows in in_order(tables).items():
        looks = [Look(row["time"], row["time"], *levels(alert, row["value"])) for row in rows]
        found[sensor] = spans(looks, **times)
    return found


def of_windows(tables: MemoryTables, alert: Alert) -> dict[tuple[str, ...], list[Span]]:
    """The episodes of a rule on windows, by the names of the group."""
    rule = alert.rule
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in sorted(tables.final("windows"), key=lambda one: one["start"]):
        if row["window"] == rule.of:
            labels = ("sensor_type", "location", "asset_id", "unit", "sensor_id", "topic")
            groups[tuple(f"{name}={row[name]}" for name in labels if row.get(name))].append(row)
    times = {"for_ms": rule.for_ms, "keep_ms": rule.keep_ms, "cool_ms": rule.cool_down_ms}
    found = {}
    for group, rows in groups.items():
        nan = float("nan")
        measured = [(row, row[rule.column] if row["complete"] else nan) for row in rows]
        looks = [Look(row["start"], row["end"], *levels(alert, one)) for row, one in measured]
        found[group] = spans(looks, **times)
    return found


def of_locations(
    tables: MemoryTables, alert: Alert, joined_ms: Mapping[Sensor, int], *, until_ms: int
) -> dict[str, list[Span]]:
    """The episodes of a rule by location, of sensors that stay where they are.

    joined_ms: when each is known to the groups. until_ms: only what happens before counts.
    """
    at = {sensor: rows[0]["location"] for sensor, rows in in_order(tables).items()}
    found = {}
    alarms = of_sensors(tables, alert)
    for location in set(at.values()):
        members = [sensor for sensor in at if at[sensor] == location]
        edges = {joined_ms[sensor] for sensor in members}
        for sensor in members:
            for span in alarms[sensor]:
                edges |= {span.fired_ms} if span.known_ms is None else {span.fired_ms, span.known_ms}
        # By time alone an episode begins after a cool-down, or has lasted for long enough.
        times = sorted(edge for edge in edges if edge < until_ms)
        looks = [Look(t, t, *[_meets(alert, members, alarms, joined_ms, t)] * 2) for t in times]
        found[location] = _timed(looks, alert, until_ms)
    return found


def _meets(alert: Alert, members: Iterable[Any], alarms: Any, joined_ms: Any, t: int) -> bool:
    known = sum(joined_ms[sensor] <= t for sensor in members)
    alarmed = sum(
        any(span.fired_ms <= t and (span.known_ms is None or t < span.known_ms) for span in alarms[sensor])
        for sensor in members
    )
    return known > 0 and alarmed >= alert.min_sensors and alarmed >= alert.min_share * known


def _timed(looks: list[Look], alert: Alert, until_ms: int) -> list[Span]:
    """Between two edges nothing changes: each instant at which something may come about is looked at, too."""
    extra: set[int] = set()
    while True:
        every = sorted({look.begin_ms for look in looks} | extra)
        filled = [Look(t, t, *[next((x.fires for x in reversed(looks) if x.begin_ms <= t), False)] * 2) for t in every]
        found = spans(filled, for_ms=alert.for_.ms, keep_ms=0, cool_ms=alert.cool_down.ms)
        more = {one.begin_ms + alert.for_.ms for one in filled if one.fires}
        more |= {span.ended_ms + alert.cool_down.ms for span in found if span.ended_ms is not None}
        more = {t for t in more if t < until_ms} - set(every)
        if not more:
            return found
        extra |= more


def rows_of(alert: Alert, named_by: Sequence[str], found: Iterable[Span]) -> set[tuple[Any, ...]]:
    """What the table must hold of these episodes: (id, started, fired, ended, state)."""
    return {
        (alert_id(alert.name, named_by, one.start_ms), one.start_ms, one.fired_ms, one.ended_ms)
        + (("open",) if one.ended_ms is None else ("resolved",))
        for one in found
    }
