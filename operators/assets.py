"""Assets: sensors that belong together are judged together, tick by tick of event time.

    SENSOR STEP  TickStore: readings on time of sensors that have an asset, until their ticks are over
       v         AssetTicks travel within the pane messages: sum and count of each sensor and tick
    WINDOW STEP  AssetShard: when the smallest watermark has passed a tick, its sensors' means are judged

Ticks are judged in order and one by one, however many are due at once, and what the model has learnt depends on them
alone: not on how readings came in batches, nor on the order in which partitions spoke.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from models.asset import SUSPECT, AssetModel, AssetVerdicts
from models.slots import resized
from operators.batches import Codes, ColumnData, Floats, Ints, Labels, Rows, Series
from operators.shards import shard_of

STATE_VERSION = 1

By = Literal["asset_id", "location"]
Pair = tuple[str, str]
"""An asset's name and a sensor_id."""

_NONE = -1


@dataclass(frozen=True, slots=True)
class AssetTicks:
    """What one sensor shard has of some ticks: row i is sensor pairs[code[i]] in tick[i].

    tick: number of the tick, its start divided by its length.
    total, count: of the values.
    """

    pairs: list[Pair]
    code: Codes
    tick: Ints
    total: Floats
    count: Ints


class TickStore:
    """The readings of one sensor shard whose ticks are not over; free where no series has an asset.

    by: what an asset is; None for none.
    """

    def __init__(self, *, by: By | None, tick_ms: int, shards: int) -> None:
        self._by = by
        self._tick_ms = tick_ms
        self._shards = shards
        self._codes: dict[Pair, int] = {}
        self._shard_of = np.empty(0, np.int64)
        self._code_of = np.empty(0, np.int64)
        self._held: list[tuple[Ints, Ints, Floats]] = []

    def enrol(self, slots: Ints, series: Sequence[Series]) -> None:
        """New series at these slots."""
        pairs = [(getattr(one, self._by) if self._by else "", one.sensor_id) for one in series]
        self._code_of = resized(self._code_of, int(slots.max(initial=-1)) + 1, _NONE)
        self._code_of[slots] = self._numbered(pairs)

    def _numbered(self, pairs: Sequence[Pair]) -> list[int]:
        """Their codes, given out on first sight; _NONE for a sensor without an asset."""
        codes = [self._codes.setdefault(pair, len(self._codes)) if pair[0] else _NONE for pair in pairs]
        new = list(self._codes)[len(self._shard_of) :]
        shards = [shard_of(asset, self._shards) for asset, _ in new]
        self._shard_of = np.concatenate([self._shard_of, np.array(shards, np.int64)])
        return codes

    def forget(self, slots: Ints) -> None:
        """These series are gone; what is held of them is still given out."""
        self._code_of[slots] = _NONE
        there = np.flatnonzero(self._code_of != _NONE)
        used = np.unique(np.concatenate([self._code_of[there], *(code for code, _, _ in self._held)]))
        self._code_of[there] = np.searchsorted(used, self._code_of[there])
        self._held = [(np.searchsorted(used, code), time_ms, value) for code, time_ms, value in self._held]
        pairs = list(self._codes)
        self._codes = {pairs[code]: place for place, code in enumerate(used.tolist())}
        self._shard_of = self._shard_of[used]

    def add(self, slot: Ints, time_ms: Ints, value: Floats) -> None:
        """Take in readings on time, in order of arrival."""
        if not self._codes:
            return
        code = self._code_of[slot]
        rows = np.flatnonzero(code != _NONE)
        if len(rows):
            self._held.append((code[rows], time_ms[rows], value[rows]))

    def messages(self, watermark_ms: int | None) -> dict[int, AssetTicks]:
        """The ticks that end at or before the watermark, all for None, by window shard."""
        if not self._held:
            return {}
        code, time_ms, value = (np.concatenate(columns) for columns in zip(*self._held, strict=True))
        tick = time_ms // self._tick_ms
        self._held = []
        if watermark_ms is not None:
            over = (tick + 1) * self._tick_ms <= watermark_ms
            if not over.all():
                left = ~over
                self._held = [(code[left], time_ms[left], value[left])]
                code, tick, value = code[over], tick[over], value[over]
        return self._summed(tick, code, value)

    def _summed(self, tick: Ints, code: Ints, value: Floats) -> dict[int, AssetTicks]:
        if not len(tick):
            return {}
        # By window shard first, so that each shard's part is a stretch of the result.
        first, pairs, every = tick.min(), len(self._codes), list(self._codes)
        span = tick.max() - first + 1
        key, row = np.unique((self._shard_of[code] * span + tick - first) * pairs + code, return_inverse=True)
        total = np.bincount(row, weights=value).astype(np.float64)  # in order of arrival
        count = np.bincount(row)
        tick, code = key // pairs % span + first, key % pairs
        ends = np.searchsorted(key, np.arange(1, self._shards + 1) * span * pairs).tolist()
        messages = {}
        for shard, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if begin < end:
                used, codes = np.unique(code[begin:end], return_inverse=True)
                names = [every[one] for one in used.tolist()]
                part = slice(begin, end)
                messages[shard] = AssetTicks(names, codes.astype(np.int32), tick[part], total[part], count[part])
        return messages

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays."""
        pairs = list(self._codes)
        used = np.unique(np.concatenate([code for code, _, _ in self._held])) if self._held else np.empty(0, np.int64)
        held = tuple((np.searchsorted(used, code), time_ms, value) for code, time_ms, value in self._held)
        return (STATE_VERSION, self._by, tuple(pairs[code] for code in used.tolist()), held)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`, after `enrol`. What was held of assets of another kind is dropped."""
        _, by, pairs, held = state
        if by == self._by and pairs:
            codes = np.array(self._numbered(pairs), np.int64)
            self._held = [(codes[code], time_ms, value) for code, time_ms, value in held]


class AssetShard:
    """The assets whose names hash to one window shard."""

    def __init__(self, *, by: By, tick_ms: int, model: AssetModel, generation: int = 0) -> None:
        self._by = by
        self._tick_ms = tick_ms
        self._generation = generation
        self._model = model
        self._codes: dict[Pair, int] = {}
        self._member_of = np.empty(0, np.int64)
        self._members: list[Pair] = []
        self._assets: dict[str, int] = {}
        self._asset_of = np.empty(0, np.int64)
        self._held: dict[str, list[tuple[Ints, Ints, Floats, Ints]]] = {}
        self._done = 0

    def add(self, source: str, ticks: AssetTicks) -> None:
        """Keep what a sensor shard has of some ticks."""
        codes = np.array([self._codes.setdefault(pair, len(self._codes)) for pair in ticks.pairs], np.int64)
        self._member_of = resized(self._member_of, len(self._codes), _NONE)
        self._held.setdefault(source, []).append((ticks.tick, codes[ticks.code], ticks.total, ticks.count))

    def judge(self, watermark_ms: int | None) -> list[Rows]:
        """Verdicts on the ticks that end at or before the watermark, all for None.

        A tick is judged once: what a sensor shard that is new since then has of it is dropped.
        """
        parts = [part for source in sorted(self._held) for part in self._due(source, watermark_ms)]
        done, self._done = self._done, self._done if watermark_ms is None else watermark_ms // self._tick_ms
        parts = [part if part[0].min() >= done else _where(part, part[0] >= done) for part in parts]
        if not any(len(part[0]) for part in parts):
            return []
        tick, code, total, count = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        self._enrol(tick, code)
        member = self._member_of[code]
        # Stable: what several sensor shards have of one sensor and tick is added in order of their names.
        order = np.lexsort((member, self._asset_of[member], tick))
        tick, member, total, count = tick[order], member[order], total[order], count[order]
        first = np.append(True, (tick[1:] != tick[:-1]) | (member[1:] != member[:-1]))
        begin = np.flatnonzero(first)
        mean = np.add.reduceat(total, begin) / np.add.reduceat(count, begin)
        return self._rows(self._model.judge(tick[begin], member[begin], mean))

    def _due(self, source: str, watermark_ms: int | None) -> list[tuple[Ints, Ints, Floats, Ints]]:
        """What a source has sent of ticks that are over, in the order of their coming; the rest is kept."""
        parts = self._held.pop(source)
        if watermark_ms is None:
            return parts
        due, left = [], []
        for part in parts:
            over = (part[0] + 1) * self._tick_ms <= watermark_ms
            if over.all():
                due.append(part)
            else:
                due.append(_where(part, over))
                left.append(_where(part, ~over))
        if left:
            self._held[source] = left
        return [part for part in due if len(part[0])]

    def _enrol(self, tick: Ints, code: Ints) -> None:
        """Number new members by their first tick, then by name: however messages came, the numbers are the same."""
        unknown = self._member_of[code] == _NONE
        if not unknown.any():
            return
        names = list(self._codes)
        order = np.lexsort((tick[unknown], code[unknown]))
        codes, first = np.unique(code[unknown][order], return_index=True)
        since = tick[unknown][order][first]
        new = sorted((t, names[c], c) for t, c in zip(since.tolist(), codes.tolist(), strict=True))
        self._member_of[[one for _, _, one in new]] = np.arange(len(self._members), len(self._members) + len(new))
        self._join([pair for _, pair, _ in new])

    def _join(self, pairs: Sequence[Pair]) -> None:
        self._members += pairs
        assets = np.array([self._assets.setdefault(asset, len(self._assets)) for asset, _ in pairs], np.int64)
        self._asset_of = np.concatenate([self._asset_of, assets])
        self._model.grow(assets)

    def _rows(self, verdicts: AssetVerdicts) -> list[Rows]:
        judged = np.flatnonzero(~np.isnan(verdicts.score))
        if not len(judged):
            return []
        score, in_alarm = verdicts.score[judged], verdicts.is_anomaly[judged]
        shares: list[dict[str, float]] = [{}] * len(judged)
        for row in np.flatnonzero(in_alarm | (score >= SUSPECT)).tolist():
            top = zip(verdicts.top[judged[row]].tolist(), verdicts.share[judged[row]].tolist(), strict=True)
            shares[row] = {self._members[member][1]: share for member, share in top if member != _NONE}
        columns: dict[str, ColumnData] = {
            self._by: Labels(verdicts.asset[judged].astype(np.int32), list(self._assets)),
            "time": verdicts.tick[judged] * self._tick_ms,
            "generation": self._generation,
            "tick_ms": self._tick_ms,
            "sensors": verdicts.sensors[judged],
            "score": score,
            "is_anomaly": in_alarm,
            "shares": shares,
        }
        return [Rows("asset_verdicts", len(judged), columns)]

    @property
    def nbytes(self) -> int:
        """Memory of the model and of ticks that are not over, bytes."""
        held = sum(column.nbytes for parts in self._held.values() for part in parts for column in part)
        return self._model.nbytes + held

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values and arrays."""
        held = tuple((source, tuple(parts)) for source, parts in self._held.items())
        names = (tuple(self._codes), self._member_of[: len(self._codes)].copy(), tuple(self._members))
        return (STATE_VERSION, self._by, self._tick_ms, names, (held, self._done), self._model.state())

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. With other assets or ticks than then, everything is learnt afresh."""
        _, by, tick_ms, (pairs, member_of, members), (held, done), model = state
        if (by, tick_ms) != (self._by, self._tick_ms):
            return
        self._codes = {pair: code for code, pair in enumerate(pairs)}
        self._member_of = np.array(member_of, np.int64)
        self._join(members)
        self._model.load(model)
        self._held, self._done = {source: list(parts) for source, parts in held}, done


def _where(part: tuple[Ints, Ints, Floats, Ints], rows: Any) -> tuple[Ints, Ints, Floats, Ints]:
    tick, code, total, count = part
    return tick[rows], code[rows], total[rows], count[rows]
