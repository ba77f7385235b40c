"""The chDB engine of the endpoint's process: opened once, one connection per query.

A connection costs 0.2 ms and holds all session state (database, settings, bound parameters), so a fresh one for each
query is how ClickHouse's sessionless HTTP works, and separate connections run in parallel. Never fork once it is open.
"""

import fcntl
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import chdb

from infra.embedded.errors import BAD_ARGUMENTS, QueryError
from infra.embedded.guard import Guard
from infra.embedded.statement import Statement

_connect: Callable[[str], Any] = chdb.connect
_APPEND_BYTES = 4 * 1_048_576
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class DataDirError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave. body: the result in `format`, None for a statement without one."""

    body: bytes
    format: str | None
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_ns: int = 0


class Engine:
    """Owns the database in `data_dir`, alone.

    Raises DataDirError when another process has it or chDB cannot open it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock = _lock(data_dir)
        self._path = str(data_dir)
        try:
            self._main = _connect(self._path)  # stays open: the engine shuts down with its last connection
            _close_off_files(self._main, data_dir)
            self.version, self.timezone = self._row("SELECT version(), timezone()")
            names = self._main.query("SELECT name FROM system.table_functions", "TSV").bytes().decode().split()
        except (RuntimeError, chdb.ChdbError) as error:
            raise DataDirError(f"data directory {data_dir}: chDB cannot open it: {error}") from None
        self._guard = Guard(names)

    def run(
        self,
        statement: Statement,
        *,
        database: str,
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
        default_format: str,
    ) -> Outcome:
        """Run one statement in a session of its own. Call it from any thread.

        parameters: values of {name:Type} placeholders, escaped as in ClickHouse's HTTP interface.
        Raises QueryError as ClickHouse would.
        """
        self._guard.check(statement)
        start = perf_counter_ns()
        try:
            with closing(_connect(self._path)) as connection:
                if database:
                    connection.query(f"USE {_identifier(database)}")
                assignments = [*settings.items(), *((f"param_{name}", value) for name, value in parameters.items())]
                if assignments:
                    connection.query("SET " + ", ".join(_assignment(name, value) for name, value in assignments))
                if statement.data is not None:
                    return _insert(connection, statement, start)
                return _query(connection, statement, default_format, start)
        except (RuntimeError, chdb.ChdbError) as error:
            raise QueryError.from_engine(str(error)) from None

    def cancel_all(self) -> None:
        """Ask every running query to end."""
        with suppress(RuntimeError, chdb.ChdbError):
            self._main.query("KILL QUERY WHERE query_id != queryID() ASYNC")

    def close(self) -> None:
        """Shut the database down; no query may be running."""
        self._main.close()
        os.close(self._lock)

    def _row(self, query: str) -> list[str]:
        text: bytes = self._main.query(query, "TSV").bytes()
        return text.decode().rstrip("\n").split("\t")


def _insert(connection: Any, statement: Statement, start: int) -> Outcome:
    data = statement.data
    assert data is not None
    with connection.send_insert(statement.text.decode(), statement.format) as stream:
        for at in range(0, len(data), _APPEND_BYTES):
            stream.append(data[at : at + _APPEND_BYTES])
        result = stream.finish()
    return Outcome(
        b"",
        None,
        read_rows=result.rows_written,
        read_bytes=result.bytes_written,
        written_rows=result.rows_written,
        written_bytes=result.bytes_written,
        elapsed_ns=perf_counter_ns() - start,
    )


def _query(connection: Any, statement: Statement, default_format: str, start: int) -> Outcome:
    result = connection.query(statement.text, default_format)
    return Outcome(
        result.bytes() or b"",
        (statement.format or default_format) if statement.has_result else None,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        elapsed_ns=perf_counter_ns() - start,
    )


def _lock(data_dir: Path) -> int:
    """Hold the directory for this process alone, until it ends however it ends."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "endpoint.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirError(f"data directory {data_dir}: {error.strerror}; choose another one") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise DataDirError(
            f"data directory {data_dir}: process {owner} serves it already; stop that one or choose another directory"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _close_off_files(connection: Any, data_dir: Path) -> None:
    """Make the database `default` a plain one: chDB's own also offers every file of the machine as a table.

    chDB puts its own back at each start, so this is done at each start. It can be attached again only when it holds
    tables: chDB forgets the identity of an empty one.
    """
    connection.query("USE system")
    tables = connection.query("SELECT count() FROM system.tables WHERE database = 'default'", "TSV").bytes()
    if int(tables) == 0:
        connection.query("DROP DATABASE default SYNC")
        connection.query("CREATE DATABASE default ENGINE = Atomic")
    elif (data_dir / "metadata" / "default.sql").exists():
        connection.query("DETACH DATABASE default")
        connection.query("ATTACH DATABASE default")
    else:
        raise DataDirError(
            f"data directory {data_dir}: chDB itself kept tables in its database `default`; choose an empty directory"
        )


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _assignment(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise QueryError(BAD_ARGUMENTS, f"{name!r} is not the name of a setting or parameter")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name} = '{escaped}'"
