"""What one embedded ClickHouse endpoint bears."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """body_bytes: size of a request body, packed and unpacked.

    result_bytes: size of a result.
    queries: how many run at once; each may hold a body and a result in memory.
    queue_s: how long a query waits for its turn before it is told to come again (503).
    body_s: how long a body may take to arrive.
    query_s: how long a query may run, unless it says itself how long.
    """

    body_bytes: int = 128 * 1_048_576
    result_bytes: int = 512 * 1_048_576
    queries: int = 8
    queue_s: float = 10.0
    body_s: float = 60.0
    query_s: float = 300.0
