"""Packing operator state for the recovery store."""

import pickle
import zlib
from typing import Any

_PACKED = 1


def pack(state: tuple[Any, ...]) -> tuple[int, bytes]:
    """A snapshot as it goes to the recovery store: plain values and arrays, pickled and compressed.

    No class of ours is inside, so that the code can move without orphaning stored state.
    """
    return (_PACKED, zlib.compress(pickle.dumps(state, protocol=5), level=1))


def unpack(packed: tuple[int, bytes]) -> tuple[Any, ...]:
    """The state that was packed. Raises ValueError for a version that is not known."""
    version, data = packed
    if version != _PACKED:
        raise ValueError(f"snapshot version {version} is newer than this program: upgrade it, or reset the state")
    state: tuple[Any, ...] = pickle.loads(zlib.decompress(data))
    return state
