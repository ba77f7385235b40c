"""Snapshots: they share nothing with the live state, and going on from one compiles nothing anew."""

import pickle
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from operators.state import pack, unpack
from tests.operators.engine import Engine, Row, sliding, tumbling

WINDOWS = [tumbling("t", 10), sliding("s", 20, 10, "sensor_id")]


def some(start: int) -> list[Row]:
    """Readings of several sensors, with a duplicate, a conflict and a late one."""
    rows: list[Row] = [(f"s{i % 3}", start + i, float(i % 7), {"asset_id": "a"}) for i in range(30)]
    return [*rows, rows[-1], ("s0", start + 27, 50.0), ("s1", start - 60, 1.0)]


def engine() -> Engine:
    return Engine("t/0", "t/1", windows=WINDOWS, aggregates=("operators.aggregates.Range",), shards=2, lateness_s=5)


def test_a_snapshot_shares_nothing_with_the_live_state() -> None:
    one = engine()
    one.feed("t/0", *some(100))
    one.feed("t/1", *some(100))
    snapshots = {key: state.snapshot() for key, state in one.states.items()}
    bytes_then = {key: pickle.dumps(snapshot) for key, snapshot in snapshots.items()}
    one.feed("t/0", *some(130), ("new", 170, 1.0))
    one.feed("t/1", *some(130))
    one.end()
    assert {key: pickle.dumps(snapshot) for key, snapshot in snapshots.items()} == bytes_then


def test_going_on_compiles_nothing_anew() -> None:
    """A kernel that meets another kind of array (read-only, of 32 bits) would stall the stream for seconds."""
    one = engine()
    for start in (100, 140):
        one.feed("t/0", *some(start))
        one.feed("t/1", *some(start))
    one.restart(aggregates=("operators.aggregates.Range",))
    known = {kernel: len(kernel.signatures) for kernel in _kernels()}
    one.feed("t/0", *some(180), ("new", 220, 1.0))
    one.feed("t/1", ("new", 220, 1.0))
    one.restart(aggregates=("operators.aggregates.Range",))
    one.feed("t/0", *some(260))
    one.feed("t/1", *some(260))
    assert {kernel: len(kernel.signatures) for kernel in _kernels()} == known
    assert known, "there are kernels"


def _kernels() -> Iterator[CPUDispatcher]:
    for name, module in list(sys.modules.items()):
        if name.startswith("operators."):
            yield from (one for one in vars(module).values() if isinstance(one, CPUDispatcher))


def test_packed_and_unpacked() -> None:
    state = (1, "text", (np.arange(3), None, -(2**63)))
    version, text, (numbers, none, least) = unpack(pack(state))
    assert (version, text, numbers.tolist(), none, least) == (1, "text", [0, 1, 2], None, -(2**63))
    assert numbers.flags.writeable


def test_what_earlier_programs_packed_is_read() -> None:
    assert unpack((1, zlib.compress(pickle.dumps((1, "text"))))) == (1, "text")


def test_a_snapshot_of_another_program_version_is_refused() -> None:
    _, data = pack((1,))
    with pytest.raises(ValueError, match="snapshot version 99"):
        unpack((99, data))
