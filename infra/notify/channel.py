"""One channel at work: tells what is due, in its own time; a dead one holds up no other.

record --due--> spared? (resolved meanwhile, inhibited, silenced) --> one by one, or all in one when there are many
   ^                                                                      |
   '--- told, or refused for good, or once more after a while ------------'
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.notify.message import Change, NotTold, Telling, rank
from infra.notify.record import Line, Record

_AT_ONCE = 100
"""So many are looked at together, and named in one summary."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_IDLE_S = 0.2
_REPEATS_S = 1.0

logger = logging.getLogger(__name__)


class Teller(Protocol):
    """Reaches people or machines."""

    def tell(self, telling: Telling) -> None:
        """Raises NotTold."""
        ...

    def reach(self) -> str:
        """Try it without telling anybody anything; what was found, in words. Raises NotTold."""
        ...

    def idle(self) -> None:
        """There was nothing to tell for a moment: keep in touch, if that is needed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """severity: the least that is told. wait_ms: so long after its coming, for what may be over or inhibited by then.

    per_minute: so many tellings, then all that wait go into one. resolved: whether ends are told.
    repeat_ms: what is still open so long after it was told is told once more; 0: never.
    """

    severity: str = "info"
    wait_ms: int = 0
    per_minute: int = 20
    resolved: bool = True
    repeat_ms: int = 0

    def wants(self, change: Change) -> bool:
        """Whether it is told at all."""
        return rank(change.severity) >= rank(self.severity) and (self.resolved or change.state != "resolved")


class Channel:
    """silenced: whether people want to hear nothing of an alert now. in_hand: whether somebody has acknowledged it,
    so that it is not repeated. clock_s: the wall clock."""

    def __init__(
        self,
        name: str,
        teller: Teller,
        policy: Policy,
        record: Record,
        *,
        silenced: Callable[[Change], bool] = lambda change: False,
        in_hand: Callable[[Change], bool] = lambda change: False,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self.name, self.policy = name, policy
        self._teller, self._record, self._silenced, self._clock_s = teller, record, silenced, clock_s
        self._in_hand = in_hand
        self._told_s: list[float] = []
        self._woken = threading.Event()
        self._failures = 0
        self._resting_s = self._repeats_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            self._woken.clear()
            if not self.turn():
                self._teller.idle()
                self._woken.wait(_IDLE_S)

    def wake(self) -> None:
        """There is something new in the record."""
        self._woken.set()

    def turn(self) -> bool:
        """Tell what is due now; whether there was anything to do."""
        now_s = self._clock_s()
        if now_s < self._resting_s:
            return False
        self._repeat(now_s)
        due = self._record.due(self.name, round(now_s * 1000), most=_AT_ONCE + 1)
        wanted = [line for line in due if not self._spared(line)]
        if not wanted:
            return bool(due)
        self._told_s = [at_s for at_s in self._told_s if at_s > now_s - 60]
        room = self.policy.per_minute - len(self._told_s)
        if room <= 0:
            return len(wanted) < len(due)
        if len(wanted) <= room:
            for line in wanted:
                if not self._tell([line], Telling([line.change], repeat=line.repeats)):
                    break
        else:
            # A storm: everything that waits, in one.
            named = wanted[:_AT_ONCE]
            self._tell(
                wanted, Telling([line.change for line in named], summary=True, left_out=len(wanted) - len(named))
            )
        return True

    def _repeat(self, now_s: float) -> None:
        """Now and then, what is open for long is due once more."""
        if self.policy.repeat_ms and now_s >= self._repeats_s:
            self._repeats_s = now_s + _REPEATS_S
            now_ms = round(now_s * 1000)
            self._record.repeat(self.name, now_ms - self.policy.repeat_ms, now_ms)

    def _spared(self, line: Line) -> bool:
        """Done with without being told?"""
        why = self._why_not(line)
        if why:
            # Told it was, if not once more: its end is news.
            self._record.end([line], "told" if line.repeats else why, self._now_ms())
        return bool(why)

    def _why_not(self, line: Line) -> str:
        change = line.change
        if change.state == "resolved":
            # Who was not told of the beginning need not hear of the end; one that came without a beginning is news.
            return "" if line.opened in ("told", "none") else "not opened"
        if line.over and (self.policy.wait_ms or line.repeats):
            return "over"
        if line.repeats and self._in_hand(change):
            return "in hand"
        if self._record.inhibitor(change) is not None:
            return "inhibited"
        return "silenced" if self._silenced(change) else ""

    def _tell(self, lines: Sequence[Line], telling: Telling) -> bool:
        try:
            self._teller.tell(telling)
        except NotTold as problem:
            self._failed(lines, problem)
            return False
        self._told_s.append(self._clock_s())
        self._record.end(lines, "told", self._now_ms())
        if self._failures:
            self._failures = 0
            logger.warning("channel %s tells again", self.name)
        return True

    def _failed(self, lines: Sequence[Line], problem: NotTold) -> None:
        if problem.lasting:
            logger.error("channel %s refuses %s alerts for good: %s", self.name, len(lines), problem)
            for repeated, how in ((False, "refused"), (True, "told")):
                some = [line for line in lines if bool(line.repeats) == repeated]
                self._record.end(some, how, self._now_ms(), str(problem))
            return
        # It is the channel that rests, not the alert: what comes meanwhile would fail, too.
        pause_s = problem.after_s or min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 20))
        self._resting_s = self._clock_s() + pause_s
        self._record.postpone(lines, self._now_ms(), str(problem))
        self._failures += 1
        if self._failures == 1:
            logger.warning("channel %s: %s; trying again until it works", self.name, problem)

    def _now_ms(self) -> int:
        return round(self._clock_s() * 1000)
