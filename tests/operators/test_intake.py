"""Intake: watermark and lateness by the partition's contents alone, counts that add up, a limit on rejects."""

import pickle
import runpy
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import intake as intake_module
from operators.batches import LATE, ON_TIME, Messages
from operators.intake import LEDGER_BUCKET, NO_WATERMARK, IntakeBatch, IntakeConfig, PartitionIntake, TooManyRejects
from operators.registry import Registry, SensorInfo, TypeInfo
from operators.reject_limit import RejectLimit
from operators.rejects import Fault, Reject
from tests.operators.payloads import NOW_MS, Truth, messages, reading, truths

SPEC = Path(__file__).parents[3] / "shared" / "event_time_spec.py"
LATENESS_MS = 10_000


def make(state: Any = None, registry: Registry | None = None, **config: Any) -> PartitionIntake:
    settings = IntakeConfig(**({"lateness_ms": LATENESS_MS, "dead_letter_share": 1.0} | config))
    return PartitionIntake("sensors", 2, config=settings, registry=registry or Registry(), state=state)


def split(whole: Messages, cuts: Sequence[int]) -> list[Messages]:
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    return [Messages(whole.payloads[a:b], whole.offsets[a:b], whole.kafka_ms[a:b]) for a, b in pairwise(edges)]


def rows(batches: list[IntakeBatch]) -> list[tuple[Any, ...]]:
    return [
        row
        for batch in batches
        if (r := batch.readings) is not None
        for row in zip(
            [r.series.values[code] for code in r.code.tolist()],
            r.time_ms.tolist(),
            r.value.tolist(),
            r.offset.tolist(),
            r.idx.tolist(),
            r.watermark_ms.tolist(),
            r.lateness.tolist(),
            strict=True,
        )
    ]


def rejects(batches: list[IntakeBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches if batch.rejects is not None for row in batch.rejects.to_dicts()]


def tallies(batches: list[IntakeBatch]) -> dict[int, list[int]]:
    totals: dict[int, list[int]] = {}
    for batch in batches:
        for tally in batch.tallies:
            counts = totals.setdefault(tally.bucket, [0, 0, 0])
            totals[tally.bucket] = [a + b for a, b in zip(counts, tally[1:], strict=True)]
    return totals


def test_rows_carry_offsets_watermark_and_lateness() -> None:
    batch = make().feed(
        messages(
            reading(timestamp=NOW_MS - 30_000),
            b"[%s,%s]" % (reading(timestamp=NOW_MS), reading(timestamp=NOW_MS - 10_000)),
            reading(timestamp=NOW_MS - 10_001),
            reading(timestamp=NOW_MS + 61_000),
            first_offset=50,
        )
    )
    assert batch.readings is not None
    assert batch.readings.offset.tolist() == [50, 51, 51, 52]
    assert batch.readings.idx.tolist() == [0, 0, 1, 0]
    assert batch.readings.watermark_ms.tolist() == [NOW_MS - 40_000] + [NOW_MS - 10_000] * 3
    assert batch.readings.lateness.tolist() == [ON_TIME, ON_TIME, ON_TIME, LATE]
    assert (batch.source, batch.watermark_ms, batch.idle) == ("sensors/2", NOW_MS - 10_000, False)
    assert [(row["offset"], row["reason"]) for row in rejects([batch])] == [(53, "clock_ahead")]


def test_a_batch_of_rejects_has_no_readings_and_no_watermark() -> None:
    batch = make().feed(messages(None, b"{"))
    assert batch.readings is None
    assert batch.watermark_ms == NO_WATERMARK
    assert batch.tallies == ((0, 2, 2, 2),)


def test_tallies_follow_the_offsets() -> None:
    three = b"[%s,7,%s]" % (reading(), reading())
    batch = make().feed(messages(reading(), None, three, b"[]", first_offset=LEDGER_BUCKET - 2))
    assert batch.tallies == ((0, 2, 2, 1), (LEDGER_BUCKET, 2, 3, 1))


def test_idle_is_said_once_until_something_comes() -> None:
    intake = make()
    first = intake.idle()
    assert first is not None
    assert (first.idle, first.watermark_ms, first.readings, first.tallies) == (True, NO_WATERMARK, None, ())
    assert intake.idle() is None
    assert not intake.feed(messages(reading())).idle
    again = intake.idle()
    assert again is not None
    assert again.watermark_ms == NOW_MS - LATENESS_MS


def test_unknown_types_and_completion_come_from_the_registry() -> None:
    registry = Registry({"s-1": SensorInfo("co2", "lab")}, {"co2": TypeInfo("ppm")}, unknown_types="refuse")
    batch = make(registry=registry).feed(messages(reading(), reading(sensor_id="s-2", sensor_type="noise")))
    assert [row[0] for row in rows([batch])] == [("s-1", "co2", "lab", "", "ppm")]
    assert [row["reason"] for row in rejects([batch])] == ["unknown_type"]


def test_a_full_dictionary_of_series_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_SERIES", 2)
    intake = make()
    many = intake.feed(messages(*(reading(sensor_id=f"s-{i}") for i in range(3))))
    after = intake.feed(messages(reading(sensor_id="s-9"), first_offset=3))
    assert many.readings is not None
    assert after.readings is not None
    assert (len(many.readings.series), len(after.readings.series)) == (3, 1)


def test_no_messages_change_nothing() -> None:
    intake = make()
    intake.feed(messages(reading()))
    before = intake.snapshot()
    batch = intake.feed(messages())
    assert (batch.readings, batch.rejects, batch.tallies, batch.watermark_ms) == (None, None, (), NOW_MS - LATENESS_MS)
    assert intake.snapshot() == before


@settings(max_examples=60)
@given(truths, st.lists(st.integers(0, 20), max_size=4), st.data())
def test_neither_batches_nor_restarts_change_the_outcome(
    sent: list[Truth], cuts: list[int], data: st.DataObject
) -> None:
    whole = messages(*(payload for payload, _ in sent), first_offset=LEDGER_BUCKET - 7)
    limit: dict[str, Any] = {"dead_letter_share": 0.9, "dead_letter_window": 1000}
    at_once, pieces = make(**limit), make(**limit)
    expected = [at_once.feed(whole)]
    found = []
    for piece in split(whole, cuts):
        found.append(pieces.feed(piece))
        if data.draw(st.booleans()):
            pieces = make(pickle.loads(pickle.dumps(pieces.snapshot())), **limit)
    assert rows(found) == rows(expected)
    assert rejects(found) == rejects(expected)
    assert tallies(found) == tallies(expected)
    assert found[-1].watermark_ms == expected[0].watermark_ms
    assert pieces.snapshot() == at_once.snapshot()
    readings = [element for _, elements in sent for element in elements]
    assert sum(counts[1] for counts in tallies(expected).values()) == len(readings)
    assert sum(counts[2] for counts in tallies(expected).values()) == sum(e.reason is not None for e in readings)


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=3))
def test_the_watermark_is_the_newest_so_far_less_lateness(times: list[int], cuts: list[int]) -> None:
    whole = messages(*(reading(timestamp=NOW_MS - 60_000 + time) for time in times))
    intake = make()
    found = rows([intake.feed(piece) for piece in split(whole, cuts)])
    for n, row in enumerate(found):
        watermark = NOW_MS - 60_000 + max(times[: n + 1]) - LATENESS_MS
        assert (row[5], row[6]) == (watermark, LATE if row[1] < watermark else ON_TIME)


@pytest.mark.skipif(not SPEC.exists(), reason="the event-time model ../shared/event_time_spec.py is not here")
def test_watermarks_equal_the_executable_model() -> None:
    spec = SimpleNamespace(**runpy.run_path(str(SPEC)))
    for seed in range(5):
        for partition in spec.readings(spec.random.Random(seed)):
            stamped = [
                (ts, watermark, LATE if ts < watermark else ON_TIME) for ts, _, watermark in spec.stamp(partition)
            ]
            # Shifted to this year: a real clock guard stands before the watermark.
            sent = [reading(timestamp=NOW_MS - 10_000_000 + ts * 1000) for ts, _ in partition]
            intake = make(lateness_ms=spec.LATENESS_S * 1000)
            found = rows([intake.feed(piece) for piece in split(messages(*sent), [seed * 100, 350])])
            assert [
                ((time - NOW_MS + 10_000_000) // 1000, (watermark - NOW_MS + 10_000_000) // 1000, lateness)
                for _, time, _, _, _, watermark, lateness in found
            ] == stamped


def test_too_many_rejects_stop_after_they_were_given_out() -> None:
    intake = make(dead_letter_share=0.5, dead_letter_window=100)
    bad, good = [b"{"] * 60, [reading()] * 40
    last = intake.feed(messages(*bad[:30], *good, None, *bad[30:59], first_offset=500))
    assert len(rejects([last])) == 60
    with pytest.raises(TooManyRejects) as stopped:
        intake.feed(messages(reading(), first_offset=600))
    assert str(stopped.value) == (
        "sensors/2: 60 of the last 100 readings were refused, more than quality.dead_letter_share = 0.5 allows; "
        "most often for bad_json (59 times, first at offset 500). The table dead_letters holds them. Correct the "
        "producer or the configuration; to let them pass all the same, raise quality.dead_letter_share (1 never stops)"
    )
    with pytest.raises(TooManyRejects):
        intake.idle()


def test_nothing_stops_before_a_full_window_or_at_the_limit() -> None:
    intake = make(dead_letter_share=0.5, dead_letter_window=100)
    intake.feed(messages(*[b"{"] * 99))
    intake.feed(messages(reading(), first_offset=99))
    with pytest.raises(TooManyRejects):
        intake.idle()
    intake = make(dead_letter_share=0.5, dead_letter_window=100)
    for start in range(0, 1000, 2):
        intake.feed(messages(reading(), b"{", first_offset=start))


def test_a_snapshot_taken_after_the_limit_lets_a_restart_go_on() -> None:
    intake = make(dead_letter_share=0.5, dead_letter_window=100)
    intake.feed(messages(*[b"{"] * 100))
    restarted = make(intake.snapshot(), dead_letter_share=0.5, dead_letter_window=100)
    restarted.feed(messages(*[reading()] * 100, first_offset=100))
    restarted.feed(messages(reading(), first_offset=200))


@given(
    st.lists(st.booleans(), max_size=120),
    st.lists(st.integers(0, 120), max_size=5),
    st.integers(1, 40),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_the_limit_follows_readings_not_batches(bad: list[bool], cuts: list[int], window: int, share: float) -> None:
    edges = [0, *sorted(min(cut, len(bad)) for cut in cuts), len(bad)]
    whole, pieces = (RejectLimit(share=share, window=window) for _ in range(2))
    _count(whole, bad, 0)
    for a, b in pairwise(edges):
        _count(pieces, bad[a:b], a)
    assert pieces.state() == whole.state()
    assert pieces.exceeded == whole.exceeded
    assert not (whole.exceeded and len(bad) < window)


def _count(limit: RejectLimit, bad: list[bool], first_offset: int) -> None:
    good = np.flatnonzero(~np.array(bad, np.bool_))
    refused = [Reject(i, 0, Fault("bad_json", ""), b"") for i, is_bad in enumerate(bad) if is_bad]
    limit.count(good, np.zeros(len(good), np.int32), refused, np.arange(len(bad)) + first_offset)
