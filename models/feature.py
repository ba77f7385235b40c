"""The Feature protocol: features of one's own, named in the configuration by import path, `[features] own = [...]`."""

from typing import Protocol, runtime_checkable

from models.detector import Batch, Floats, Slots


@runtime_checkable
class Feature(Protocol):
    """One or more numbers per reading from its own sensor's past. Constructed without arguments.

    As for a Detector every slot appears at most once in a call, and `Batch.features` is empty.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns; no two features may share one."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Of the columns, for people: "of the value", "1/s", "readings"."""
        ...

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        ...

    def extract(self, batch: Batch) -> Floats:
        """(n, len(names)) of these readings, before they are remembered; NaN where not known. Changes nothing."""
        ...

    def remember(self, batch: Batch) -> None:
        """Take the readings in: those that are their sensor's newest."""
        ...

    def reset(self, slots: Slots) -> None:
        """Forget these sensors: their slots start fresh."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        ...

    def state(self) -> dict[str, object]:
        """A copy of the state as plain values, arrays and bytes, with a "version"."""
        ...

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()`. Raises ValueError when it does not fit."""
        ...
