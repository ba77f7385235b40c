"""Running counts per stretch of offsets."""

from operators.ledger import Ledger
from operators.records import VERSION_SHIFT


def ledger(generation: int = 0) -> Ledger:
    return Ledger(topic="t", partition=3, stage="shard 1", generation=generation)


def test_rows_hold_the_counts_so_far_of_what_changed() -> None:
    counts = ledger(generation=2)
    counts.add(0, on_time=3, late=1)
    counts.add(100, on_time=1)
    (rows,) = counts.rows()
    assert [(row["bucket"], row["on_time"], row["late"]) for row in rows.to_dicts()] == [(0, 3, 1), (100, 1, 0)]
    assert [row["version"] - (2 << VERSION_SHIFT) for row in rows.to_dicts()] == [4, 1]
    assert counts.rows() == []
    counts.add(100, duplicates=2)
    (rows,) = counts.rows()
    assert [(row["bucket"], row["on_time"], row["duplicates"]) for row in rows.to_dicts()] == [(100, 1, 2)]


def test_a_recount_after_a_crash_wins_over_one_with_more_after_idle() -> None:
    before, again = ledger(), ledger()
    before.add(0, on_time=1, late=4, after_idle=4, duplicates=0, conflicts=0)
    again.add(0, on_time=5, late=0, after_idle=0, duplicates=0, conflicts=3)
    first, second = before.rows()[0].to_dicts()[0], again.rows()[0].to_dicts()[0]
    assert first["version"] <= second["version"], "of equal versions the later row stays"


def test_only_the_newest_stretches_are_kept() -> None:
    counts = ledger()
    for bucket in range(10):
        counts.add(bucket, on_time=1)
        counts.rows()
    assert [bucket for bucket, _ in counts.state()[0]] == [8, 9]  # type: ignore[attr-defined]


def test_what_was_not_given_out_survives_a_snapshot() -> None:
    counts, again = ledger(), ledger()
    counts.add(0, on_time=2)
    counts.rows()
    counts.add(0, on_time=1)
    state = counts.state()
    counts.add(0, on_time=10)
    again.load(state)  # type: ignore[arg-type]
    assert again.rows()[0].to_dicts()[0]["on_time"] == 3
