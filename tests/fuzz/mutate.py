"""Payloads that are nearly right: good ones of every kind, damaged in the ways that find mistakes in parsers."""

from collections.abc import Iterator, Sequence
from random import Random

from tests.operators.payloads import NOW_MS, arrow, reading

TOKENS = (
    *(b"NaN", b"-Infinity", b"1e400", b"-0", b"9223372036854775808", b"1" * 400, b"null", b"true", b"{}", b"[]"),
    *(b'"', b"\\u0000", b"\\ud800", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"," * 9, b"[" * 200, b'{"a":' * 200),
    *(b'"timestamp":1', b'"value":"x"', b'"sensor_id":""', b'"sensor_id":"\xc3\x28"', b'"label":"' + b"l" * 300 + b'"'),
)
_COLUMNS = {"sensor_id": ["a", "b"], "value": [1.0, 2.0], "timestamp": [NOW_MS, NOW_MS + 1]}


def seeds() -> list[bytes]:
    """One good payload of each kind."""
    full = {"sensor_type": "temperature", "location": "hall", "unit": "°C", "seq": 7, "label": "normal"}
    return [
        reading(),
        reading(**full, attributes={"firmware": [1, {"a": None}]}),
        reading(timestamp="2026-01-31T08:00:00+01:00"),
        b"[" + reading() + b"," + reading(sensor_id="s-2") + b"]",
        reading() + b"\n" + reading(sensor_id="s-2") + b"\n",
        arrow(_COLUMNS),
        arrow(_COLUMNS, form="file"),
        arrow(_COLUMNS, compression="zstd"),
    ]


def mutated(rng: Random, corpus: Sequence[bytes]) -> Iterator[bytes]:
    """Without end."""
    while True:
        payload = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((0, 1, 1, 2, 4, 8))):
            damage(rng, payload, corpus, TOKENS)
        yield bytes(payload)


def damage(rng: Random, payload: bytearray, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    """In one place, in one way."""
    at = rng.randrange(len(payload) + 1)
    end = min(len(payload), at + rng.choice((1, 2, 4, 16, 64)))
    match rng.randrange(6):
        case 0:
            payload[at:end] = rng.randbytes(end - at)
        case 1:
            del payload[at:end]
        case 2:
            payload[at:at] = rng.choice(tokens)
        case 3:
            payload[at:end] = rng.choice(tokens)
        case 4:
            payload[at:] = b""
        case _:
            other = rng.choice(corpus)
            begin = rng.randrange(len(other))
            payload[at:at] = other[begin : begin + rng.choice((4, 16, 64, 1_000))]
