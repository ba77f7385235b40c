"""Packing operator state for the recovery store."""

import pickle
import zlib
from typing import Any

import pyarrow as pa

_PACKED, _DEFLATED = 2, 1
"""As packed now; as packed by earlier programs."""
_LENGTH_BYTES = 8
# A stream stands still while its state is packed: this takes a quarter of zlib's time, and what comes out is smaller.
_ZSTD = pa.Codec("zstd", compression_level=1)


def pack(state: tuple[Any, ...]) -> tuple[int, bytes]:
    """A snapshot as it goes to the recovery store: plain values and arrays, pickled and compressed.

    No class of ours is inside, so that the code can move without orphaning stored state.
    """
    plain = pickle.dumps(state, protocol=5)
    return (_PACKED, len(plain).to_bytes(_LENGTH_BYTES, "little") + _ZSTD.compress(plain, asbytes=True))


def unpack(packed: tuple[int, bytes]) -> tuple[Any, ...]:
    """The state that was packed. Raises ValueError for a version that is not known."""
    version, data = packed
    if version == _PACKED:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        plain = _ZSTD.decompress(data[_LENGTH_BYTES:], decompressed_size=length, asbytes=True)
    elif version == _DEFLATED:
        plain = zlib.decompress(data)
    else:
        raise ValueError(f"snapshot version {version} is newer than this program: upgrade it, or reset the state")
    state: tuple[Any, ...] = pickle.loads(plain)
    return state
