"""A body posted to the HTTP ingest, as it is and as lines: what it takes the flow reads, and nothing is lost."""

from collections.abc import Iterable

from infra.http.decoding import BodyDecoder, Sorted
from operators.registry import Registry
from tests.fuzz import mutate
from tests.fuzz.intake import MAX_PAYLOAD_BYTES, fed
from tests.fuzz.targets import payloads
from tests.operators.payloads import NOW_MS

SEEDS = [*payloads.SEEDS, *mutate.seeds()]
TOKENS = mutate.TOKENS

_PARTITIONS = 4
_DECODER = BodyDecoder(
    Registry(),
    lambda key: key[-1] % _PARTITIONS if key else 0,
    max_reading_bytes=MAX_PAYLOAD_BYTES,
    max_ahead_ms=60_000,
)


def check(data: bytes) -> str:
    """AssertionError when a reading is neither taken nor refused, or taken and then refused by the flow."""
    whole = _DECODER.sort(data, NOW_MS)
    assert _judged([whole]) == fed([data])
    lines = [line for line in data.split(b"\n") if line.strip(b" \t\r\n\v\f")]
    assert sum(_judged(_DECODER.sort_lines(data, NOW_MS))) == len(lines)
    return "taken" if whole.accepted else "refused"


def _judged(parts: Iterable[Sorted]) -> tuple[int, int]:
    """So many taken, so many refused."""
    taken = refused = 0
    for part in parts:
        assert fed([value for _, _, value in part.messages]) == (part.accepted, 0), "the flow refuses what was taken"
        assert all(one.reason and one.detail for one in part.refused)
        taken, refused = taken + part.accepted, refused + len(part.refused)
    return taken, refused
