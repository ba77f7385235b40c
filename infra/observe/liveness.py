"""When is something silent, by the wall clock? Pure judgement: what was seen, and when, is passed in.

progress  7   7   8   8   8   8   8   9
silent                       |-------|        after silent_after without a change
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

SubjectKind = Literal["partition", "plant", "flow"]


@dataclass(frozen=True, slots=True)
class Sign:
    """What is seen of one subject.

    progress: changes whenever it lives.
    heard_s: Unix time of its last sign of life, as far as others know; looked at when it is seen for the first time.
    due: whether anything is to be heard of it: a flow that has read all there is may rest.
    """

    kind: SubjectKind
    name: str
    progress: int
    heard_s: float
    due: bool = True

    @property
    def subject(self) -> str:
        """ "partition topic/3", "plant topic", "flow group"."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Change:
    """A subject fell silent, at the end of the time it may be, or was heard again. at_s: Unix time."""

    kind: Literal["silent", "heard_again"]
    subject: str
    at_s: float
    detail: str


class Liveness:
    """Judges signs one after the other. silent: subjects that were found silent before, by another run."""

    def __init__(self, silent_after_s: float, *, silent: Collection[str] = ()) -> None:
        self._silent_after_s = silent_after_s
        self._silent = set(silent)
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def silent(self) -> list[str]:
        """The subjects that are silent now."""
        return sorted(self._silent)

    def observe(self, now_s: float, signs: Sequence[Sign]) -> list[Change]:
        """What has changed with these signs, seen at Unix time now_s."""
        changes = [self._judge(now_s, sign) for sign in signs]
        return [change for change in changes if change is not None]

    def _judge(self, now_s: float, sign: Sign) -> Change | None:
        subject = sign.subject
        progress, heard_s = self._seen.get(subject, (sign.progress, min(sign.heard_s, now_s)))
        if progress != sign.progress or not sign.due:
            heard_s = now_s
        self._seen[subject] = (sign.progress, heard_s)
        for_s = now_s - heard_s
        if for_s >= self._silent_after_s and subject not in self._silent:
            self._silent.add(subject)
            return Change("silent", subject, heard_s + self._silent_after_s, f"nothing for {for_s:.0f} s")
        if for_s < self._silent_after_s and subject in self._silent:
            self._silent.remove(subject)
            return Change("heard_again", subject, heard_s, "moves again" if sign.due else "has nothing to do")
        return None
