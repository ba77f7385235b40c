"""The Detector protocol: what a model must be so that a flow can run it.

A detector serves all sensors of one shard. A *slot* is a sensor's number within the shard: slots are given out from 0
upwards and `grow` announces new ones. In one call every slot appears at most once (a batch with several readings of one
sensor is handed over in several calls, in order), so a call can be plain array code.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of different sensors, one row each.

    slots: (n,) the sensors' slots, all different.
    time_ms: (n,) event times, epoch milliseconds.
    values: (n,) measured values, finite.
    features: (n, k) feature vectors in the order of `feature_names`; NaN where a feature is not known.
    groups: (n,) number of the sensor's type within the shard, for models that sensors of a type share.
    rows: (n,) the readings' running number within the shard: the order in which they came, whatever the batches.
    """

    slots: Slots
    time_ms: Times
    values: Floats
    features: Floats
    groups: Slots
    rows: Slots

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, rows: slice | npt.NDArray[np.intp]) -> "Batch":
        """Some of the rows."""
        return Batch(
            self.slots[rows],
            self.time_ms[rows],
            self.values[rows],
            self.features[rows],
            self.groups[rows],
            self.rows[rows],
        )


@runtime_checkable
class Detector(Protocol):
    """Scores before it learns, never looks ahead, costs a bounded number of bytes per sensor.

    Constructed with `feature_names` (a tuple of str, the columns of Batch.features) and its own keyword parameters.
    """

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots, 0 .. sensors - 1; new ones start fresh. Never fewer than before."""
        ...

    def score(self, batch: Batch) -> Floats:
        """(n,) raw scores, larger is stranger; NaN while a sensor warms up. Changes nothing."""
        ...

    def learn(self, batch: Batch) -> None:
        """Take the readings in. Called after `score`, with those rows that may teach."""
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


@runtime_checkable
class Scheduled(Protocol):
    """A detector some of whose state changes at set event times instead of with every reading: a model fitted anew.

    Its flow calls `advance` between the last reading before such a time and the first one after it, so that what the
    detector knew then, and knows from then on, depends on the readings alone and not on how they came in batches.
    """

    @property
    def step_ms(self) -> int:
        """Distance of those times, milliseconds."""
        ...

    def advance(self, time_ms: int) -> list[tuple[int, str]]:
        """The partition's watermark has reached `time_ms`, a multiple of step_ms (perhaps several at once).

        Returns what changed with it, for people: (group, what happened) each.
        """
        ...


@runtime_checkable
class Versioned(Protocol):
    """A detector whose model has a name of its own, stored with every score it gives."""

    def version_of(self, group: int) -> str:
        """The model in use for a group of sensors; "" while there is none."""
        ...


@runtime_checkable
class Particular(Protocol):
    """A detector that was made for one kind of features."""

    @property
    def scaled(self) -> bool:
        """Whether it takes them scaled to the sensor's own past, or as measured."""
        ...


@runtime_checkable
class Forecasting(Protocol):
    """A detector that knows what it expects."""

    def expected(self, batch: Batch) -> tuple[Floats, Floats, Floats]:
        """(n,) expected values and the lower and upper ends of their interval; NaN while unknown. Changes nothing."""
        ...


def check_state(state: dict[str, object], **expected: object) -> None:
    """Refuse a state that another version or other parameters of a detector have made. Raises ValueError."""
    for name, wanted in expected.items():
        if (found := state.get(name)) != wanted:
            raise ValueError(
                f"the state was made with {name} = {found!r}, this detector has {wanted!r}: start it afresh"
            )
