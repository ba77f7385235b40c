"""Where sensors live, and numbers for series."""

import numpy as np

from operators.batches import ReadingBatch, Series, SeriesDictionary
from operators.shards import CodeMap, shard_of, split, stable_hash


def test_the_hash_never_changes() -> None:
    """State lives where it says; these numbers are for good."""
    assert [stable_hash(text) for text in ("", "sensor-1", "größe")] == HASHES
    assert [shard_of(f"sensor-{i}", 4) for i in range(8)] == SHARDS


HASHES = [0, 2711947455, 3920859783]
SHARDS = [1, 3, 1, 0, 2, 3, 3, 3]


def test_shards_are_even_also_within_one_partition_of_kafka() -> None:
    """librdkafka partitions by crc32: the ids of one partition have the same remainder."""
    from zlib import crc32

    of_one = [text for i in range(8000) if crc32((text := f"s{i}").encode()) % 8 == 3]
    counts = np.bincount([shard_of(text, 4) for text in of_one], minlength=4)
    assert counts.min() > 0.8 * len(of_one) / 4


def test_numbers_are_given_to_series_that_occur_in_the_order_of_their_rows() -> None:
    asked: list[str] = []

    def number(series: Series) -> int:
        asked.append(series.sensor_id)
        return len(asked) - 1

    numbers = CodeMap(number)
    dictionary = SeriesDictionary([Series(name) for name in "abcd"])
    assert numbers(dictionary, np.array([3, 1, 3], np.int32)).tolist() == [0, 1, 0]
    assert asked == ["d", "b"]
    dictionary.code(Series("e"))
    assert numbers(dictionary, np.array([4, 3, 0], np.int32)).tolist() == [2, 0, 3]
    assert asked == ["d", "b", "e", "a"]
    assert numbers(dictionary, np.empty(0, np.int32)).tolist() == []
    other = SeriesDictionary([Series("b")])
    assert numbers(other, np.array([0], np.int32)).tolist() == [4], "another dictionary is asked for anew"


def batch(n: int) -> ReadingBatch:
    zeros = np.zeros(n, np.int64)
    series = SeriesDictionary([Series("a")])
    return ReadingBatch(
        series,
        zeros.astype(np.int32),
        np.arange(n),
        np.zeros(n),
        np.arange(n),
        zeros.astype(np.int32),
        zeros,
        zeros.astype(np.uint8),
    )


def test_split_keeps_the_order_and_leaves_out_empty_shards() -> None:
    parts = split(batch(6), np.array([2, 0, 2, 0, 2, 2]), 4)
    assert {k: part.offset.tolist() for k, part in parts.items()} == {0: [1, 3], 2: [0, 2, 4, 5]}
    assert split(batch(2), np.array([0, 0]), 1)[0].offset.tolist() == [0, 1]
