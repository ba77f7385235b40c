"""The input: simulated sensors and what is wrong with them, a function of seed and faults; sent at a steady rate."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Message, Simulation
from tests.chaos.plan import OF_INPUT, Fault
from tests.running import BEGIN_MS

STEP_MS = 200
"""Stream that is sent at once."""

_HOUR_MS = 3_600_000
_BEHIND_MS = 60_000
_BAD = (b"", b"{", b"null", b'{"sensor_id": 7}', b"\xff\xfe", b'{"sensor_id":"s","value":"x","timestamp":1}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """`seconds` of readings with everyday disorder and broken messages, and the faults of input among `faults`.

    rate: readings a second of all sensors together.
    """

    seed: int
    sensors: int
    rate: float
    seconds: float
    faults: Sequence[Fault]

    def steps(self) -> Iterator[list[Message]]:
        """The messages, step by step."""
        everyday = SimulationConfig(
            sensors=self.sensors, rate=self.rate, bad_share=0.001, disorder=0.02, seed=self.seed
        )
        simulation = Simulation(everyday)
        for start_ms in range(0, int(self.seconds * 1000), STEP_MS):
            messages = simulation.batch(BEGIN_MS + start_ms, BEGIN_MS + start_ms + STEP_MS)
            rng = Random(f"{self.seed}/{start_ms}")
            for fault in self.faults:
                if fault.kind in OF_INPUT and fault.at_s * 1000 <= start_ms < (fault.at_s + fault.lasts_s) * 1000:
                    messages = _disturbed(messages, fault.kind, rng)
            yield messages


def _disturbed(messages: list[Message], kind: str, rng: Random) -> list[Message]:
    if kind == "duplicated":
        return messages + messages
    if kind == "reordered":
        rng.shuffle(messages)
        return [_shifted(one, -rng.randrange(_BEHIND_MS)) if rng.random() < 0.1 else one for one in messages]
    if kind == "clock-jump":
        return [_shifted(one, rng.choice((-_HOUR_MS, _HOUR_MS))) if rng.random() < 0.1 else one for one in messages]
    return [(key, rng.choice(_BAD), ms) if rng.random() < 0.2 else (key, value, ms) for key, value, ms in messages]


def _shifted(message: Message, by_ms: int) -> Message:
    """The same reading with another stamp of its own; Kafka's stays."""
    key, value, kafka_ms = message
    try:
        fields = json.loads(value)
        fields["timestamp"] += by_ms
    except (ValueError, TypeError, KeyError):
        return message
    return key, json.dumps(fields).encode(), kafka_ms


class Sender:
    """Sends a stream at its own pace, in a thread of its own."""

    def __init__(self, stream: Stream, bootstrap: str, topic: str) -> None:
        self.sent = 0
        self.at_s = 0.0
        """How much of the stream has been sent, seconds."""
        self.behind_s = 0.0
        """How far it fell behind its pace, at most, seconds."""
        self._failure: Exception | None = None
        self._ended = False
        self._stream, self._bootstrap, self._topic = stream, bootstrap, topic
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is more to come. Raises what went wrong."""
        if self._failure is not None:
            raise self._failure
        return self._thread.is_alive()

    def close(self) -> None:
        """Send no more."""
        self._ended = True
        self._thread.join()

    def _run(self) -> None:
        try:
            with Producer(Connection(bootstrap=self._bootstrap)) as producer:
                begin_s = time.monotonic()
                for number, messages in enumerate(self._stream.steps()):
                    ahead_s = number * STEP_MS / 1000 - (time.monotonic() - begin_s)
                    if ahead_s > 0:
                        producer.flush()
                        time.sleep(ahead_s)
                    self.behind_s = max(self.behind_s, -ahead_s)
                    producer.produce_many(self._topic, messages)
                    self.sent += len(messages)
                    self.at_s = (number + 1) * STEP_MS / 1000
                    if self._ended:
                        return
        except Exception as error:
            self._failure = error
