"""An MQTT payload through the bridge: the flow finds in what comes out as many readings as in what went in."""

from infra.mqtt.payload import prepare
from infra.mqtt.template import TopicTemplate
from tests.fuzz.intake import fed
from tests.fuzz.targets import payloads

_TEMPLATE = TopicTemplate("plant/{location}/{sensor_id}/data")
_NAMED = b'{"value": 1, "timestamp": 1763856000000}'

SEEDS = [*payloads.SEEDS, _NAMED, b"[" + _NAMED + b"," + _NAMED + b"]", _NAMED + b"\n" + _NAMED]
TOKENS = payloads.TOKENS


def check(data: bytes) -> str:
    """AssertionError when the bridge loses a reading, makes one up, or spoils one.

    Rubbish may be refused in another number of pieces: what looks like an array is looked into once more.
    """
    read, refused = fed([data])
    foreign = prepare("elsewhere", data, _TEMPLATE)
    read_then, refused_then = fed([one.value for one in foreign.messages])
    assert (read_then, refused_then > 0) == (read, refused > 0), f"by a topic that says nothing: {data!r}"
    said = prepare("plant/hall/pump/data", data, _TEMPLATE)
    read_then, refused_then = fed([one.value for one in said.messages])
    assert read <= read_then <= read + refused, "what a topic says spoils a reading, or makes one up"
    assert refused_then or read_then == read + refused, "what was refused is gone"
    assert all(one.key for one in (*foreign.messages, *said.messages))
    return f"refused: {said.unfit}" if said.unfit else "passed on"
