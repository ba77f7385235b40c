"""What the HTTP service refuses is what the flow would refuse, and what it takes the flow reads as it was sent."""

from collections import defaultdict
from itertools import islice
from random import Random

import msgspec
import pytest

from infra.http.decoding import MESSAGE_BYTES, BodyDecoder, Sorted
from infra.kafka.partitioner import partition_of
from operators.decode import decode
from operators.registry import Registry, TypeInfo
from operators.series_codes import SeriesCodes
from tests.fuzz.mutate import mutated, seeds
from tests.operators.payloads import NOW_MS, SPOILT, messages, reading

PARTITIONS = 5
Read = dict[str, list[tuple[int, float, int | None, str]]]


def decoder(registry: Registry | None = None, *, max_reading_bytes: int = 1_000_000) -> BodyDecoder:
    return BodyDecoder(
        registry or Registry(),
        lambda key: partition_of(key, PARTITIONS),
        max_reading_bytes=max_reading_bytes,
        max_ahead_ms=60_000,
    )


def read(*payloads: bytes) -> tuple[Read, list[str]]:
    """What the flow makes of messages: readings of each sensor in order, and reasons of rejects."""
    codes = SeriesCodes(Registry())
    found = decode(messages(*payloads), codes, max_payload_bytes=10_000_000, max_ahead_ms=60_000)
    of_sensor: Read = defaultdict(list)
    for row, code in enumerate(found.code.tolist()):
        seq = None if found.seq is None or found.seq[row] < -(2**62) else int(found.seq[row])
        attributes = "" if found.attributes is None else found.attributes[row]
        one = (int(found.time_ms[row]), float(found.value[row]), seq, attributes)
        of_sensor[codes.series.values[code].sensor_id].append(one)
    return of_sensor, [one.fault.reason for one in found.rejects]


def taken(sorted_: Sorted) -> Read:
    """What the flow makes of the messages a body became; each is in the partition of its sensors."""
    of_sensor: Read = defaultdict(list)
    for partition, key, value in sorted_.messages:
        readings, rejects = read(value)
        assert not rejects
        for sensor, some in readings.items():
            assert partition_of(sensor.encode(), PARTITIONS) == partition
            of_sensor[sensor] += some
        assert key.decode() in readings
    assert sum(map(len, of_sensor.values())) == sorted_.accepted
    return of_sensor


def test_any_body_becomes_what_the_flow_would_have_made_of_it() -> None:
    one = decoder()
    for body in islice(mutated(Random(11), seeds()), 2_000):
        found = one.sort(body, NOW_MS)
        readings, reasons = read(body)
        assert taken(found) == readings, body
        assert [refused.reason for refused in found.refused] == reasons, body


def test_any_lines_become_what_the_flow_would_have_made_of_each() -> None:
    one = decoder()
    for body in islice(mutated(Random(12), [seed for seed in seeds() if seed[:1] == b"{"]), 2_000):
        expected: Read = defaultdict(list)
        reasons: list[str | None] = []
        for line in body.split(b"\n"):
            if not line or line.isspace():
                continue
            if line.lstrip()[:1] != b"{":
                reasons.append(None)  # the flow would take an array, a line may not be one
                continue
            readings, refused = read(line)
            reasons += refused
            for sensor, some in readings.items():
                expected[sensor] += some
        parts = list(one.sort_lines(body, NOW_MS))
        found: Read = defaultdict(list)
        for part in parts:
            for sensor, some in taken(part).items():
                found[sensor] += some
        assert found == expected, body
        told = [refused.reason for part in parts for refused in part.refused]
        assert [None if wanted is None else said for said, wanted in zip(told, reasons, strict=True)] == reasons


@pytest.mark.parametrize(("reason", "payload"), [one for one in SPOILT if one[1].strip() and b"\n" not in one[1]])
def test_a_spoilt_reading_between_good_ones_is_told_with_its_row(reason: str, payload: bytes) -> None:
    body = b"\n".join([reading(value=1), payload, reading(value=2)])
    (part,) = decoder().sort_lines(body, NOW_MS)
    assert (part.accepted, [(one.row, one.reason) for one in part.refused]) == (2, [(1, reason)])


def test_messages_stay_small_and_large_readings_travel_alone() -> None:
    large = reading(sensor_id="large", attributes={"text": "x" * MESSAGE_BYTES})
    body = b"\n".join([reading(sensor_id=f"s-{i % 40}", value=i) for i in range(20_000)] + [large])
    messages_ = [one for part in decoder().sort_lines(body, NOW_MS) for one in part.messages]
    sizes = sorted(len(value) for _, _, value in messages_)
    assert sizes[-1] == len(large)
    assert sizes[-2] <= MESSAGE_BYTES
    assert len(messages_) < 60


def test_a_reading_that_is_too_large_for_kafka_is_refused_alone() -> None:
    one = decoder(max_reading_bytes=1_000)
    large = reading(attributes={"text": "x" * 1_000})
    lines = next(one.sort_lines(reading() + b"\n" + large, NOW_MS))
    array = one.sort(b"[" + reading() + b"," + large + b"]", NOW_MS)
    alone = one.sort(large, NOW_MS)
    assert [(found.accepted, [(r.row, r.reason) for r in found.refused]) for found in (lines, array, alone)] == [
        (1, [(1, "too_large")]),
        (1, [(1, "too_large")]),
        (0, [(0, "too_large")]),
    ]


def test_types_that_are_configured_nowhere_are_refused_where_the_flow_refuses_them() -> None:
    one = decoder(Registry(types={"temperature": TypeInfo()}, unknown_types="refuse"))
    body = reading(sensor_type="temperature") + b"\n" + reading(sensor_type="mood")
    (part,) = one.sort_lines(body, NOW_MS)
    assert (part.accepted, [(r.row, r.reason) for r in part.refused]) == (1, [(1, "unknown_type")])
    assert msgspec.json.decode(part.messages[0][2])["sensor_type"] == "temperature"
