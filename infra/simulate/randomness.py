"""Random numbers that depend on what they are for, not on how many were drawn before.

A draw is a hash of (key, counter): the same reading gets the same noise whichever batch it is generated in.
The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
"""

from functools import cache
from hashlib import blake2b
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NORMAL_BITS = 14


def key(*parts: object) -> int:
    """A 64-bit key from what the draws are for, the same on every machine."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def draw(keys: Keys, counter: Ints) -> Keys:
    """64 random bits per (key, counter); both of one shape."""
    bits = counter.astype(np.uint64)
    bits *= _GOLDEN
    bits += keys
    return mix(bits)


def mix(bits: Keys) -> Keys:
    """Other random bits from these; `bits` is used up."""
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits


def uniform(bits: Keys) -> Floats:
    """In [0, 1), from the upper 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(bits: Keys) -> Floats:
    """Standard normal, from the upper bits; cut at 4 standard deviations."""
    z: Floats = _normal_quantiles()[bits >> np.uint64(64 - _NORMAL_BITS)]
    return z


@cache
def _normal_quantiles() -> Floats:
    """A table, because it is fast and has the same bits on every processor."""
    n = 1 << _NORMAL_BITS
    inverse = NormalDist().inv_cdf
    upper = [inverse((i + 0.5) / n) for i in range(n // 2, n)]
    return np.array([-z for z in reversed(upper)] + upper)
