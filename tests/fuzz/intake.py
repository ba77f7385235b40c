"""What the intake of a partition makes of messages."""

from collections.abc import Sequence

import numpy as np

from operators.batches import Messages
from operators.intake import IntakeConfig, PartitionIntake
from operators.registry import Registry
from tests.operators.payloads import NOW_MS

MAX_PAYLOAD_BYTES = 100_000
CONFIG = IntakeConfig(
    lateness_ms=10_000,
    max_ahead_ms=60_000,
    max_payload_bytes=MAX_PAYLOAD_BYTES,
    dead_letter_share=1.0,
    dead_letter_window=10_000,
)
"""Refuses as a flow does by default, but never for good."""


def fed(payloads: Sequence[bytes | None]) -> tuple[int, int]:
    """So many readings read, so many refused."""
    messages = Messages(list(payloads), np.arange(len(payloads)), np.full(len(payloads), NOW_MS))
    batch = PartitionIntake("fuzz", 0, config=CONFIG, registry=Registry(), state=None).feed(messages)
    read, refused = (0 if part is None else len(part) for part in (batch.readings, batch.rejects))
    return read, refused
