"""The DriftDetector protocol: what watches a number of every sensor for a lasting change."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from models.detector import Floats, Slots

Flags = npt.NDArray[np.bool_]


@runtime_checkable
class DriftDetector(Protocol):
    """Serves all sensors of one shard, by slot, as a Detector does; costs a bounded number of bytes per sensor."""

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots, 0 .. sensors - 1; new ones start fresh. Never fewer than before."""
        ...

    def update(self, slots: Slots, values: Floats) -> Flags:
        """Take in one value of different sensors; NaN is left out.

        (n,) whether it shows that the sensor's values have changed for good; most detectors then start afresh.
        """
        ...

    def reset(self, slots: Slots) -> None:
        """Forget these sensors: their slots start fresh."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of the state of all slots, bytes."""
        ...

    def state(self) -> dict[str, object]:
        """A copy of the state as plain values, arrays and bytes, with a "version"."""
        ...

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()` bit for bit. Raises ValueError when its version or parameters do not fit."""
        ...
