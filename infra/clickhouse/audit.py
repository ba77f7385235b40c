"""Is everything that was read stored, and once? What the ledger counted beside what the tables hold.

Compared per stretch of LEDGER_BUCKET offsets, summed up by ClickHouse; only where they differ are offsets looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from operators.intake import LEDGER_BUCKET

NEWEST = 2
"""So many of a partition's last stretches may be ahead of the ledger while a flow runs: it counts when a pane ends."""
_MOST_RUNS = 20

_COMPARED = """
SELECT topic, partition, bucket,
    sum(l_messages), sum(l_readings), sum(l_rejected), sum(l_on_time), sum(l_late), sum(l_duplicates),
    sum(s_on_time), sum(s_late), sum(s_rejected),
    max(fresh) AS is_fresh, max(expired) AS is_expired
FROM
(
    SELECT topic, partition, bucket,
        messages AS l_messages, readings AS l_readings, rejected AS l_rejected, on_time AS l_on_time,
        late AS l_late, duplicates AS l_duplicates, 0 AS s_on_time, 0 AS s_late, 0 AS s_rejected,
        false AS fresh, stored_at < now() - INTERVAL {retention_s:Int64} SECOND AS expired
    FROM ledger FINAL
    UNION ALL
    SELECT topic, partition, intDiv(offset, {length:Int64}) * {length:Int64} AS bucket, 0, 0, 0, 0, 0, 0,
        countIf(quality NOT IN ('late', 'after_idle')), countIf(quality IN ('late', 'after_idle')), 0,
        max(stored_at) > now() - INTERVAL {fresh_s:Int64} SECOND, false
    FROM readings FINAL GROUP BY topic, partition, bucket
    UNION ALL
    SELECT topic, partition, intDiv(offset, {length:Int64}) * {length:Int64} AS bucket, 0, 0, 0, 0, 0, 0,
        0, 0, count(), max(stored_at) > now() - INTERVAL {fresh_s:Int64} SECOND, false
    FROM dead_letters FINAL GROUP BY topic, partition, bucket
    UNION ALL
    -- What was deleted on purpose, see infra/clickhouse/forget.py.
    SELECT place[1], toInt32(place[2]), toInt64(place[3]), 0, 0, 0, 0, 0, 0,
        JSONExtractUInt(detail, 'on_time'), JSONExtractUInt(detail, 'late'), JSONExtractUInt(detail, 'rejected'),
        false, false
    FROM (SELECT splitByChar('/', subject) AS place, detail FROM events FINAL WHERE kind = 'forgotten')
)
WHERE empty({topics:Array(String)}) OR topic IN {topics:Array(String)}
GROUP BY topic, partition, bucket ORDER BY topic, partition, bucket
"""
_OFFSETS = """
SELECT offset, sum(rows), sum(distinct) FROM
(
    SELECT offset, count() AS rows, uniqExact(idx) AS distinct FROM readings FINAL WHERE {place} GROUP BY offset
    UNION ALL
    SELECT offset, count() AS rows, uniqExact(idx) AS distinct FROM dead_letters FINAL WHERE {place} GROUP BY offset
)
GROUP BY offset ORDER BY offset
"""


class Counts(NamedTuple):
    """What becomes of readings, as far as it can be counted twice."""

    on_time: int
    late: int
    rejected: int


class Stretch(NamedTuple):
    """LEDGER_BUCKET offsets of a partition. counted: by the ledger; stored: in readings and dead_letters.

    fresh: something of it was stored a moment ago. expired: so old that readings may have been removed.
    """

    topic: str
    partition: int
    bucket: int
    messages: int
    readings: int
    duplicates: int
    counted: Counts
    stored: Counts
    fresh: bool
    expired: bool

    @property
    def unaccounted(self) -> int:
        """Readings that were read, and of which the ledger does not say what became."""
        return self.readings - sum(self.counted) - self.duplicates


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with some offsets of a partition. runs: (first, last) of what is missing, or stored twice."""

    topic: str
    partition: int
    what: str
    runs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    stretches: all that were compared. in_flight: how many of them are ahead of the ledger, as they may be.
    expired: how many may have lost readings to retention, and were not compared.
    without_message: offsets within what was read that hold no message: deleted, compacted, or marks of transactions.
    """

    stretches: list[Stretch]
    findings: list[Finding]
    in_flight: int
    expired: int
    without_message: int

    def by_partition(self) -> dict[tuple[str, int], list[Stretch]]:
        """The stretches of each topic and partition."""
        return _by_partition(self.stretches)


def audit(client: Client, *, topics: Sequence[str] = (), retention_s: int, fresh_s: int) -> Audit:
    """Compare counts; a reading lost beside one doubled in the same stretch is not seen. Raises ClickHouseError.

    topics: all when empty. retention_s: for which readings are kept. fresh_s: what was stored so lately may not have
    been counted yet; below 0 for none.
    """
    given = {"length": LEDGER_BUCKET, "retention_s": retention_s, "fresh_s": fresh_s, "topics": list(topics)}
    with explained("the audit", client):
        rows = client.query(_COMPARED, parameters=given).result_rows
    every = [_stretch(row) for row in rows]
    kept = _within_retention(every)
    findings = list(_never_read(kept))
    in_flight = 0
    for stretch, is_new in zip(kept, _are_newest(kept), strict=True):
        if stretch.counted == stretch.stored and not stretch.unaccounted:
            continue
        if is_new and stretch.fresh and all(s >= c for s, c in zip(stretch.stored, stretch.counted, strict=True)):
            in_flight += 1
            continue
        findings.append(_look(client, stretch))
    without = sum(max(0, LEDGER_BUCKET - one.messages) for one in _inner(kept))
    return Audit(kept, findings, in_flight, len(every) - len(kept), without)


def _stretch(row: Sequence[Any]) -> Stretch:
    topic, partition, bucket, messages, readings, rejected, on_time, late, duplicates, *stored, fresh, expired = row
    counted = Counts(on_time, late, rejected)
    whole = (messages, readings, duplicates, counted, Counts(*stored))
    return Stretch(topic, partition, bucket, *whole, bool(fresh), bool(expired))


def _within_retention(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Those of which no reading can have been removed yet.

    The ledger says when a stretch was counted last, so when the next one began: the first one that was counted within
    retention may hold readings from before.
    """
    kept: list[Stretch] = []
    for some in _by_partition(stretches).values():
        old = [place for place, one in enumerate(some) if one.expired]
        kept += some[old[-1] + 2 :] if old else some
    return kept


def _by_partition(stretches: Sequence[Stretch]) -> dict[tuple[str, int], list[Stretch]]:
    found: dict[tuple[str, int], list[Stretch]] = {}
    for one in stretches:
        found.setdefault((one.topic, one.partition), []).append(one)
    return found


def _are_newest(stretches: Sequence[Stretch]) -> list[bool]:
    newest = {one for some in _by_partition(stretches).values() for one in some[-NEWEST:]}
    return [one in newest for one in stretches]


def _inner(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """All but the first and the last of each partition, which need not be full."""
    for some in _by_partition(stretches).values():
        yield from some[1:-1]


def _never_read(stretches: Sequence[Stretch]) -> Iterator[Finding]:
    for (topic, partition), some in _by_partition(stretches).items():
        read = [one.bucket for one in some if one.messages]
        for one, following in pairwise(read):
            if following - one > LEDGER_BUCKET:
                hole = (one + LEDGER_BUCKET, following - 1)
                yield Finding(topic, partition, f"{hole[1] - hole[0] + 1:,} offsets were never read", (hole,))


def _look(client: Client, one: Stretch) -> Finding:
    """Which offsets of a stretch have no row, or one too many."""
    place = "topic = {topic:String} AND partition = {partition:Int32} AND offset BETWEEN {first:Int64} AND {last:Int64}"
    last = one.bucket + LEDGER_BUCKET - 1
    given = {"topic": one.topic, "partition": one.partition, "first": one.bucket, "last": last}
    with explained("the audit", client):
        rows = client.query(_OFFSETS.replace("{place}", place), parameters=given).result_rows
    twice = [offset for offset, count, distinct in rows if count > distinct]
    if twice:
        what = f"{len(twice):,} offsets are stored under several identities"
        return Finding(one.topic, one.partition, f"{what}; {_told(one)}", _runs(twice))
    missing = _gaps([offset for offset, _, _ in rows], one)
    what = _told(one)
    if count := sum(last - first + 1 for first, last in missing):
        what = f"{what}; {count:,} offsets without a row, {min(count, one.duplicates):,} of them may be duplicates"
    return Finding(one.topic, one.partition, what, missing)


def _gaps(there: list[int], one: Stretch) -> tuple[tuple[int, int], ...]:
    """Runs of offsets without a row, as many as there were messages; a partition need not be read from its start on."""
    lacking = one.messages - len(there)
    if not there:
        return ((one.bucket, one.bucket + lacking - 1),) if lacking > 0 else ()
    gaps = [(before + 1, after - 1) for before, after in pairwise(there) if after - before > 1]
    lacking -= sum(last - first + 1 for first, last in gaps)
    if 0 < there[0] - one.bucket <= lacking:
        gaps.insert(0, (one.bucket, there[0] - 1))
        lacking -= there[0] - one.bucket
    if lacking > 0:
        gaps.append((there[-1] + 1, there[-1] + lacking))
    return tuple(gaps[:_MOST_RUNS])


def _told(one: Stretch) -> str:
    """In words, how counts and tables differ in a stretch."""
    parts = [
        f"{name.replace('_', ' ')} {stored:,} stored, {counted:,} counted"
        for name, stored, counted in zip(Counts._fields, one.stored, one.counted, strict=True)
        if stored != counted
    ]
    if one.unaccounted:
        parts.append(f"{one.unaccounted:,} of {one.readings:,} readings that nobody counted")
    return f"offsets from {one.bucket:,}: {'; '.join(parts)}"


def _runs(offsets: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Consecutive offsets as (first, last), the first few of them."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and runs[-1][1] == offset - 1:
            runs[-1] = (runs[-1][0], offset)
        else:
            runs.append((offset, offset))
    return tuple(runs[:_MOST_RUNS])
