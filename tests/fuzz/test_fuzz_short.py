"""A little of `make fuzz`."""

from tests.fuzz.__main__ import BATCH, run_batch


def test_damaged_payloads_are_read_or_refused_and_always_the_same() -> None:
    found = run_batch(1, 0)
    for number in range(1, 20):
        found += run_batch(1, number)
    ways = sum(found.values())
    assert ways >= 20 * BATCH, "an array may be refused in several of its elements"
    assert min(found["accepted"], found["bad_json"], found["bad_arrow"], found["not_utf8"]) > 1_000
    assert run_batch(1, 7) == run_batch(1, 7)
