"""Does a broker answer every fetch at once? It should keep one for a while when there is nothing new; not all do."""

import msgspec

_FETCHES_PER_S = 200


class _Broker(msgspec.Struct):
    req: dict[str, int] = {}


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker]


class Haste:
    """`settings` are for the consumer. found: it does, and the consumer and it keep a processor busy with nothing."""

    def __init__(self) -> None:
        self.found = False
        self._fetches = 0
        self.settings = {"statistics.interval.ms": 1_000, "stats_cb": self._hear}

    def _hear(self, text: str) -> None:
        """Once a second, of librdkafka."""
        brokers = msgspec.json.decode(text, type=_Statistics).brokers.values()
        before, self._fetches = self._fetches, sum(broker.req.get("Fetch", 0) for broker in brokers)
        self.found = self.found or self._fetches - before > _FETCHES_PER_S
