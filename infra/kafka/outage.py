"""Says once that something is away and once that it is back, however many clients of the process notice."""

import logging
import threading
import time

_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


class Outage:
    """Shared by the clients of one process; safe to call from any thread."""

    def __init__(self, what: str = "Kafka") -> None:
        self._what = what
        self._lock = threading.Lock()
        self._victims: set[str] = set()
        self._since_s = 0.0
        self._next_question_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether anyone still waits."""
        with self._lock:
            return bool(self._victims)

    def begin(self, victim: str, reason: object) -> None:
        """A question of `victim` (a partition, a client) was not answered."""
        with self._lock:
            now_s = time.monotonic()
            self._next_question_s = now_s + _PAUSE_S
            if not self._victims:
                self._since_s = now_s
                logger.warning("%s; waiting for it", reason)
            self._victims.add(victim)

    def end(self, victim: str) -> None:
        """`victim` is served again, or given up."""
        with self._lock:
            if victim not in self._victims:
                return
            self._victims.remove(victim)
            if not self._victims:
                logger.warning("%s is back after %.0f s", self._what, time.monotonic() - self._since_s)

    def may_ask(self) -> bool:
        """Whether to ask now: a question blocks its thread, so while Kafka is away one a second is enough for all."""
        with self._lock:
            return time.monotonic() >= self._next_question_s
