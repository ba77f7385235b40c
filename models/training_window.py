"""The last rows that taught, per group of sensors: what a model is fitted on.

Which rows these are depends on the rows alone, not on the calls they came in: between two moments that all agree on,
rows of different sensors may come in any order.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Batch, Slots
from models.flat_forest import LARGEST
from models.slots import column

Rows = npt.NDArray[np.float32]

_SLACK = 4
"""Room for 1 + 1/_SLACK windows, so that the oldest rows are looked for once in a while, not with every call."""
_GONE = -1
"""Slot of a row whose sensor was forgotten. The row keeps its place until newer ones push it out."""
_DROPPED_BITS = np.uint32(8)
"""Features keep 16 significant bits, which no tree notices: a third less of a snapshot."""


class TrainingWindows:
    """Per group, the `size` rows with the largest running numbers among those it was given; 4 k + 12 B each.

    width: k, features of a row. A row that lacks one is not taken.
    """

    def __init__(self, *, width: int, size: int) -> None:
        self._size = size
        room = size + max(size // _SLACK, 1)
        self._rows = np.empty((0, room), np.int64)
        self._slots = np.empty((0, room), np.int32)
        self._features = np.empty((0, room, width), np.uint32)  # the bits of float32
        self._filled = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Groups that have a window."""
        return len(self._filled)

    def take(self, batch: Batch) -> None:
        """Take rows in."""
        slots, groups = column(batch.slots, np.int64), column(batch.groups, np.int64)
        rows, features = column(batch.rows, np.int64), column(batch.features, np.float64)
        done = 0
        while True:
            done = _take(slots, groups, rows, features, self._slots, self._rows, self._features, self._filled, done)
            if done == len(batch):
                return
            if groups[done] >= len(self):
                self._grow(int(groups[done]) + 1)
            else:
                self._prune(int(groups[done]))

    def forget(self, slots: Slots) -> None:
        """Rows of these sensors teach no more."""
        for group, filled in enumerate(self._filled):
            known = self._slots[group, :filled]
            known[np.isin(known, slots)] = _GONE

    def newest(self, group: int) -> int:
        """Largest running number; -1 of an empty window."""
        return int(self._rows[group, : self._filled[group]].max(initial=-1))

    def newer(self, group: int, number: int) -> int:
        """How many rows of the window have a larger running number."""
        return int(np.count_nonzero(self._rows[group, : self._filled[group]] > number))

    def training(self, group: int) -> Rows:
        """(m, k) rows of the window in order of their running numbers, without those of forgotten sensors."""
        order = self._newest(group)
        kept = order[self._slots[group, order] != _GONE]
        return cast(Rows, self._features[group, kept].view(np.float32))

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self._rows.nbytes + self._slots.nbytes + self._features.nbytes + self._filled.nbytes

    def state(self) -> list[tuple[Any, ...]]:
        """Per group: distances of the running numbers, slots and packed features, in order of running numbers."""
        return [self._group_state(self._newest(group), group) for group in range(len(self))]

    def _group_state(self, order: npt.NDArray[np.intp], group: int) -> tuple[Any, ...]:
        rows = np.diff(self._rows[group, order], prepend=0)
        return rows, self._slots[group, order], packed(self._features[group, order].view(np.float32))

    def load(self, state: list[tuple[Any, ...]]) -> None:
        """Go on from `state()`."""
        self._grow(len(state), keep=0)
        for group, (rows, slots, features) in enumerate(state):
            filled = self._filled[group] = len(rows)
            self._rows[group, :filled] = np.cumsum(rows)
            self._slots[group, :filled] = slots
            self._features[group, :filled] = unpacked(features).view(np.uint32)

    def _newest(self, group: int) -> npt.NDArray[np.intp]:
        """Places of the window's rows in order of their running numbers."""
        return np.argsort(self._rows[group, : self._filled[group]])[-self._size :]

    def _prune(self, group: int) -> None:
        order = self._newest(group)
        for values in (self._rows, self._slots, self._features):
            values[group, : len(order)] = values[group, order]
        self._filled[group] = len(order)

    def _grow(self, groups: int, *, keep: int | None = None) -> None:
        """Room for exactly so many groups: there are few, and a window is large."""
        kept = len(self) if keep is None else keep
        for name in ("_rows", "_slots", "_features", "_filled"):
            old = getattr(self, name)
            fresh = np.zeros((groups, *old.shape[1:]), old.dtype)
            fresh[:kept] = old[:kept]
            setattr(self, name, fresh)


def packed(rows: Rows) -> npt.NDArray[np.uint8]:
    """(m, k) of a window -> (3, k, m), their upper bytes: like beside like, so that it compresses well."""
    return np.ascontiguousarray(rows.T.astype("<f4")[..., np.newaxis].view(np.uint8)[..., :0:-1].transpose(2, 0, 1))


def unpacked(planes: npt.NDArray[np.uint8]) -> Rows:
    """What was `packed`."""
    _, width, rows = planes.shape
    values = np.zeros((rows, width, 4), np.uint8)
    values[..., :0:-1] = planes.transpose(2, 1, 0)
    return values.view("<f4")[..., 0].astype(np.float32)


@compiled
def _take(
    slots: Slots,
    groups: Slots,
    rows: Slots,
    features: Any,
    window_slots: Any,
    window_rows: Slots,
    window_features: Any,
    filled: Slots,
    begin: int,
) -> int:
    """Take rows from `begin` on; the row at which it ended, as its group is unknown or has no room."""
    n = len(slots)
    width = features.shape[1]
    single = np.empty(width, np.float32)
    bits = single.view(np.uint32)
    for row in range(begin, n):
        complete = True
        for k in range(width):
            complete = complete and not np.isnan(features[row, k])
            single[k] = min(max(features[row, k], -LARGEST), LARGEST)
        if not complete:
            continue
        group = groups[row]
        if group >= len(filled) or filled[group] == window_rows.shape[1]:
            return row
        at = filled[group]
        filled[group] = at + 1
        window_slots[group, at], window_rows[group, at] = slots[row], rows[row]
        for k in range(width):
            window_features[group, at, k] = bits[k] >> _DROPPED_BITS << _DROPPED_BITS
    return n
