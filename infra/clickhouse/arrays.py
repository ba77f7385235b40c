"""Arrow arrays straight from numpy's memory.

pyarrow's own constructors (array, scalar, repeat) import pandas wherever it is installed, and river installs it: 43 MB
and 0.3 s that a worker has no use for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Flags = npt.NDArray[np.bool_]


def numbers(values: npt.NDArray[Any], missing: Flags | None = None) -> pa.Array:
    """(n,) numbers or truth values; NULL where `missing`. Shares memory with `values`."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"a 1-D array of numbers expected, not {values.dtype} of shape {values.shape}")
    valid = None if missing is None or not missing.any() else _bits(~missing)
    data = _bits(values) if values.dtype == np.bool_ else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, data])


def texts(values: Sequence[str | bytes], kind: pa.DataType) -> pa.Array:
    """Strings or bytes as pa.string() or pa.binary()."""
    encoded: Sequence[str | bytes] = values
    try:
        joined = "".join(values)  # type: ignore[arg-type]  # TypeError when there are bytes among them
    except TypeError:
        joined = None
    # All ASCII, the common case: characters are bytes, nothing need be encoded one by one.
    if joined is None or not joined.isascii():
        encoded = [_bytes(value) for value in values]
    data = b"".join(map(_bytes, encoded)) if joined is None else joined.encode()
    offsets = offsets_of(np.fromiter(map(len, encoded), np.int64, len(values)))
    return pa.Array.from_buffers(kind, len(values), [None, offsets.buffers()[1], pa.py_buffer(data)])


def dictionary(codes: npt.NDArray[np.integer], values: Sequence[str]) -> pa.Array:
    """Dictionary-encoded text: row i is values[codes[i]]; `values` may repeat, the dictionary will not."""
    if len(values) > len(codes):
        used, codes = np.unique(codes, return_inverse=True)
        values = [values[code] for code in used.tolist()]
    distinct = texts(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(numbers(codes)), distinct.dictionary)


def offsets_of(lengths: npt.NDArray[np.integer]) -> pa.Array:
    """(n + 1,) offsets of n lists or texts from their lengths."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{ends[-1]} bytes or elements in one column: hand over fewer rows at a time")
    return numbers(ends.astype(np.int32))


def _bits(flags: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _bytes(value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise TypeError(f"text expected, not {type(value).__name__}")
