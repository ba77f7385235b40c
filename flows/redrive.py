"""Dead letters sent once more: looked at by the very decoder that refused them, as everything is configured now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from flows.settings import Settings
from infra.clickhouse.dead_letters import Letter
from infra.kafka.producer import Producer
from operators.batches import Messages
from operators.decode import decode
from operators.registry import Registry
from operators.series_codes import SeriesCodes


@dataclass(frozen=True, slots=True)
class Judged:
    """A letter and what would become of it. key: of its message; why: what is still wrong, "" for nothing."""

    letter: Letter
    payload: bytes
    key: bytes = b""
    why: str = ""


class Judge:
    """Decodes payloads as the flow would, were they read now."""

    def __init__(self, settings: Settings, registry: Registry, *, now_ms: int) -> None:
        self._settings = settings
        self._registry = registry
        self._now_ms = now_ms

    def judge(self, letter: Letter, payload: bytes | None = None) -> Judged:
        """payload: corrected; left out for the one that was stored."""
        if payload is None and not letter.whole:
            why = "only a part of it, or a rendering, is stored: correct it in the file `export` writes"
            return Judged(letter, b"", why=why)
        content = letter.payload.encode() if payload is None else payload
        codes = SeriesCodes(self._registry)
        one = Messages([content], np.zeros(1, np.int64), np.full(1, self._now_ms, np.int64))
        found = decode(
            one,
            codes,
            max_payload_bytes=self._settings.kafka.max_payload_bytes,
            max_ahead_ms=self._settings.event_time.max_ahead.ms,
        )
        if found.rejects:
            fault = found.rejects[0].fault
            return Judged(letter, content, why=f"{fault.reason}: {fault.detail}")
        if not len(found.code):
            return Judged(letter, content, why="there is no reading in it")
        series = codes.series.values[int(found.code[0])]
        return Judged(letter, content, key=series.sensor_id.encode())


def send(producer: Producer, judged: Iterable[Judged], *, now_ms: int, at_once: int = 200) -> Iterator[list[str]]:
    """Send what is accepted to the topic and partition it came from; yields the places of those delivered, by parts.

    Raises DeliveryFailed.
    """
    part: list[str] = []
    for one in judged:
        topic, partition = one.letter.topic, one.letter.partition
        producer.produce(topic, one.key, one.payload, now_ms, partition=partition)
        part.append(one.letter.place)
        if len(part) == at_once:
            producer.flush()
            yield part
            part = []
    if part:
        producer.flush()
        yield part
