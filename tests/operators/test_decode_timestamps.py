"""Event times: RFC 3339 text, units told apart by their size, clocks that are ahead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.timestamps import LATEST_MS, guard, to_ms
from tests.operators.payloads import NOW_MS

AHEAD_MS = 60_000


def judged(time_ms: int, kafka_ms: int = NOW_MS) -> tuple[str, str] | None:
    fault = guard(np.array([time_ms]), np.array([kafka_ms]), max_ahead_ms=AHEAD_MS).get(0)
    return fault and (fault.reason, fault.detail)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2025-10-09T08:53:20Z", NOW_MS),
        ("2025-10-09T08:53:20.001999Z", NOW_MS + 1),
        ("2025-10-09t08:53:20.5z", NOW_MS + 500),
        ("2025-10-09 10:53:20+02:00", NOW_MS),
        ("2025-10-08T22:53:20.000-10:00", NOW_MS),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_text_with_an_offset_is_read(text: str, ms: int) -> None:
    time_ms, faults = to_ms([text, "2025-10-09T08:53:20Z"])
    assert (time_ms.tolist(), faults) == ([ms, NOW_MS], {})


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-10-09", "2025-10-09T08:53Z", "2025-02-30T00:00:00Z", "2016-12-31T23:59:60Z", "1760000000000"],
)
def test_text_that_is_no_time_is_a_fault_of_its_row(text: str) -> None:
    time_ms, faults = to_ms([5, text, "2025-10-09T08:53:20Z"])
    assert time_ms.tolist() == [5, 0, NOW_MS]
    assert {row: fault.reason for row, fault in faults.items()} == {1: "timestamp_format"}


def test_text_without_an_offset_is_a_fault() -> None:
    _, faults = to_ms(["2025-10-09T08:53:20"])
    assert faults[0].reason == "timestamp_format"
    assert "has no offset" in faults[0].detail


def test_integers_beyond_64_bits_are_a_fault() -> None:
    time_ms, faults = to_ms([2**63, -(2**63), 1])
    assert time_ms.tolist() == [0, -(2**63), 1]
    assert {row: fault.reason for row, fault in faults.items()} == {0: "timestamp_range"}


@pytest.mark.parametrize("kafka_ms", [NOW_MS, -1, 0], ids=["stamped", "no stamp", "stamp 0"])
@pytest.mark.parametrize(
    ("scale", "unit"), [(1e-3, "looks like seconds"), (1e3, "looks like microseconds"), (1e6, "looks like nanoseconds")]
)
@pytest.mark.parametrize("years_back", [0, 1, 20])
def test_other_units_are_named(kafka_ms: int, scale: float, unit: str, years_back: int) -> None:
    sent = int((NOW_MS - years_back * 31_557_600_000) * scale)
    reason, detail = judged(sent, kafka_ms) or ("", "")
    assert reason == "timestamp_unit"
    assert unit in detail


def test_the_guard_draws_its_lines_where_documented() -> None:
    assert judged(NOW_MS + AHEAD_MS) is None
    assert (judged(NOW_MS + AHEAD_MS + 1) or ("",))[0] == "clock_ahead"
    assert judged(0) is None
    assert (judged(-1) or ("",))[0] == "timestamp_range"
    assert judged(LATEST_MS, kafka_ms=LATEST_MS) is None
    assert (judged(LATEST_MS + 1, kafka_ms=LATEST_MS) or ("",))[0] == "timestamp_range"


def test_without_a_message_stamp_nothing_is_ahead() -> None:
    assert judged(NOW_MS + 10 * 365 * 86_400_000, kafka_ms=-1) is None


def test_old_readings_pass_also_in_replays_stamped_with_their_event_time() -> None:
    assert judged(NOW_MS - 40 * 31_557_600_000) is None
    assert judged(5_000, kafka_ms=5_000) is None
    assert judged(86_400_000, kafka_ms=86_400_000) is None


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-1, LATEST_MS)), min_size=1, max_size=10))
def test_a_row_is_judged_alone(rows: list[tuple[int, int]]) -> None:
    times, stamps = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    together = guard(times, stamps, max_ahead_ms=AHEAD_MS)
    alone = {i: judged(time, stamp) for i, (time, stamp) in enumerate(rows)}
    assert {i: tuple(fault) for i, fault in together.items()} == {i: fault for i, fault in alone.items() if fault}
    for i, (time, stamp) in enumerate(rows):
        if i not in together:
            assert 0 <= time <= LATEST_MS
            assert stamp <= 0 or time <= stamp + AHEAD_MS
