"""The order in which a rebuild takes stored readings: as they came, none of them late."""

from random import Random

import numpy as np
import pytest

from flows.rebuild_source import release
from infra.clickhouse.rebuild_source import Stored
from operators.intake import NO_WATERMARK

LATENESS_MS = 10


def stored(times: list[int]) -> Stored:
    """Readings with their places as offsets."""
    n = len(times)
    none, codes = np.zeros(n, np.int64), np.zeros(n, np.int32)
    texts = np.full(n, "", np.object_)
    return Stored(codes, np.array(times, np.int64), np.zeros(n), np.arange(n), codes, none, codes, texts)


def arrivals(times: list[int], cuts: list[int]) -> list[int]:
    """The offsets in the order in which readings are taken when slices end at these times."""
    every, taken, newest_ms = stored(times), [], NO_WATERMARK
    waiting, done = every.take(slice(0, 0)), np.iinfo(np.int64).min
    for upto in [*cuts, None]:
        end = np.iinfo(np.int64).max if upto is None else upto
        waiting = waiting.joined(every.take((every.time_ms >= done) & (every.time_ms < end)))
        done = end
        if not len(waiting):
            continue
        found = release(waiting, upto_ms=upto, lateness_ms=LATENESS_MS, newest_ms=newest_ms)
        waiting = found.kept
        taken += found.rows.offset.tolist()
        newest_ms = max([newest_ms, *found.rows.time_ms.tolist()])
    assert not len(waiting)
    return taken


@pytest.mark.parametrize("cuts", [[], [20, 40], [5, 10, 15, 20, 25, 30, 35, 40, 45]])
def test_readings_on_time_keep_their_order(cuts: list[int]) -> None:
    times = [0, 7, 3, 12, 12, 9, 20, 31, 25, 22, 40, 44, 36]
    assert arrivals(times, cuts) == list(range(len(times)))


@pytest.mark.parametrize("cuts", [[], [15, 30, 45], [10, 20, 30, 40, 50]])
def test_a_late_reading_is_taken_just_before_the_one_that_made_it_late(cuts: list[int]) -> None:
    #        0  1   2   3   4  5   6
    times = [0, 8, 19, 40, 12, 5, 48]
    # 40 makes 12 late, 19 makes 5 late.
    assert arrivals(times, cuts) == [0, 1, 5, 2, 4, 3, 6]


def test_none_is_late_however_readings_come_and_slices_are_cut() -> None:
    for seed in range(200):
        rng = Random(seed)
        times = [max(0, i * 4 - rng.choice([0, 0, 0, 3, 9, 11, 60, 200])) for i in range(120)]
        cuts = sorted(rng.sample(range(1, 480), rng.choice([0, 1, 5, 40])))
        taken = arrivals(times, cuts)
        assert sorted(taken) == list(range(len(times)))
        newest = np.maximum.accumulate(np.array(times)[taken])
        assert (np.array(times)[taken] >= newest - LATENESS_MS).all(), (seed, cuts)
        watermark = np.maximum.accumulate(times) - LATENESS_MS
        on_time = [offset for offset in taken if times[offset] >= watermark[offset]]
        assert on_time == sorted(on_time), (seed, cuts)
