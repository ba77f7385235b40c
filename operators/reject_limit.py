"""Stop instead of draining a topic into dead letters: a limit on the share of refused readings."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from operators.batches import Codes, Ints
from operators.rejects import Reject

_STRETCHES = 10
"""The window is counted in so many stretches; the limit is judged at the end of each."""

Refused = dict[str, tuple[int, int]]
"""Of one stretch, per reason: how many readings were refused, and the offset of the first."""

LimitState = tuple[int, int, tuple[tuple[tuple[str, int, int], ...], ...]]
"""(readings per stretch, readings in the open stretch, (reason, count, first offset) per stretch, the open one last)"""


class RejectLimit:
    """Counts the last `window` readings, good and bad, in stretches that follow the readings, not their batches.

    exceeded: a sentence once more than `share` of a full window was refused, else "". Counting then starts anew, so
    that a restart from a snapshot taken afterwards goes on.
    """

    def __init__(self, *, share: float, window: int, state: LimitState | None = None) -> None:
        self._share = share
        self._length = max(1, window // _STRETCHES)
        self._closed: deque[Refused] = deque(maxlen=-(-window // self._length))
        self._open: Refused = {}
        self._open_readings = 0
        self.exceeded = ""
        if state is not None and state[0] == self._length:  # with another window configured, counting starts anew
            _, self._open_readings, stretches = state
            refused = [{reason: (count, offset) for reason, count, offset in stretch} for stretch in stretches]
            self._open = refused.pop()
            self._closed.extend(refused)

    def count(self, message: Ints, idx: Codes, rejects: Sequence[Reject], offsets: Ints) -> None:
        """Count the readings of some messages: good ones at (message, idx), and rejects, both in that order.

        offsets: of the messages, by number.
        """
        done = 0
        for position, reject in zip(_positions(rejects, message, idx), rejects, strict=True):
            self._advance(position - done)
            done = position
            count, first = self._open.get(reject.fault.reason, (0, int(offsets[reject.message])))
            self._open[reject.fault.reason] = count + 1, first
        self._advance(len(message) + len(rejects) - done)

    def state(self) -> LimitState:
        """Plain values to go on from."""
        stretches = (*self._closed, self._open)
        plain = tuple(tuple((reason, *seen) for reason, seen in stretch.items()) for stretch in stretches)
        return self._length, self._open_readings, plain

    def _advance(self, readings: int) -> None:
        self._open_readings += readings
        while self._open_readings >= self._length:
            self._open_readings -= self._length
            self._closed.append(self._open)
            self._open = {}
            self._judge()

    def _judge(self) -> None:
        window = self._length * len(self._closed)
        refused = sum(count for stretch in self._closed for count, _ in stretch.values())
        if len(self._closed) < (self._closed.maxlen or 0) or refused <= self._share * window:
            return
        totals: Refused = {}
        for stretch in self._closed:
            for reason, (count, offset) in stretch.items():
                before, first = totals.get(reason, (0, offset))
                totals[reason] = before + count, first
        reason, (count, offset) = max(totals.items(), key=lambda item: item[1][0])
        self._closed.clear()
        self.exceeded = self.exceeded or (
            f"{refused} of the last {window} readings were refused, more than quality.dead_letter_share = "
            f"{self._share:g} allows; most often for {reason} ({count} times, first at offset {offset})"
        )


def _positions(rejects: Sequence[Reject], message: Ints, idx: Codes) -> list[int]:
    """Where the rejects stand among all readings."""
    if not rejects:
        return []
    good = (message << 32) + idx
    bad = np.array([(reject.message << 32) + reject.idx for reject in rejects], np.int64)
    found: list[int] = (np.searchsorted(good, bad) + np.arange(len(bad))).tolist()
    return found
