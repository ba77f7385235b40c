"""Reading from ClickHouse for pages: a few connections, each question bounded in time, rows and memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from queue import Empty, LifoQueue
from typing import Any

from infra.clickhouse.client import Address, ClickHouseError, Client, connect, explained
from infra.console.table import Table, table_of
from infra.http.answers import Problem

MAX_ROWS = 2_000
"""Of one answer, unless a dataset says otherwise: about what a chart can show."""

_WAIT_S = 20.0
_TIMEOUT_S = 15
_MEMORY_BYTES = 2_000_000_000


class Reader:
    """at_a_time: so many questions are asked at once; more wait. Its methods block: call them from threads."""

    def __init__(self, address: Address, *, at_a_time: int = 4) -> None:
        self._address = address
        self._clients: LifoQueue[Client | None] = LifoQueue()
        for _ in range(at_a_time):
            self._clients.put(None)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """One of the connections. Raises Problem when all are busy for long, ClickHouseError."""
        try:
            client = self._clients.get(timeout=_WAIT_S)
        except Empty:
            text = "too many questions at a time for ClickHouse; try again shortly, or ask for a shorter range"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, wait_s=2) from None
        try:
            client = client or connect(self._address)
            yield client
        except ClickHouseError as error:
            if error.transient and client is not None:
                client.close()
                client = None
            raise
        finally:
            self._clients.put(client)

    def table(self, sql: str, parameters: Mapping[str, Any], *, max_rows: int = MAX_ROWS) -> Table:
        """What a SELECT gives, cut at max_rows. Raises Problem, ClickHouseError."""
        settings = {
            "readonly": 2,
            "max_execution_time": _TIMEOUT_S,
            "max_memory_usage": _MEMORY_BYTES,
            "max_result_rows": max_rows + 1,
            "result_overflow_mode": "break",
        }
        with self.client() as client, explained("the page", client):
            result = client.query(sql, parameters=dict(parameters), settings=settings, column_oriented=True)
            if not result.column_names:  # without rows the answer does not say what they would be
                names, types = client.query(
                    f"DESCRIBE TABLE ({sql})", parameters=dict(parameters), settings=settings, column_oriented=True
                ).result_columns[:2]
                return table_of(names, types, [])
            types = [kind.name for kind in result.column_types]
            columns = [column[:max_rows] for column in result.result_columns]
        return table_of(result.column_names, types, columns)

    def close(self) -> None:
        """Let go of the connections that are not in use."""
        while not self._clients.empty():
            client = self._clients.get()
            if client is not None:
                client.close()


Clock = Callable[[], int]
"""Epoch milliseconds."""
