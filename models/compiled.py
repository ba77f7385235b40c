"""`compiled`: numba's njit with a cache on disk, kept typed for the checker."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call; the machine code is cached beside the file, or under NUMBA_CACHE_DIR."""
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))
