"""The endpoint as a process: its limits, its end, and what is left after kill -9."""

import re
import signal
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.limits import Limits
from infra.embedded.process import ChildFailed


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """An endpoint that takes little at once."""
    home = tmp_path_factory.mktemp("small")
    limits = Limits(body_bytes=100_000, result_bytes=100_000, queries=1, queue_s=0.05)
    with EmbeddedClickHouse(home / "data", log=home / "log", limits=limits) as server:
        yield server


def ask(server: EmbeddedClickHouse, body: bytes, **headers: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("POST", "/", body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def unfinished_request(server: EmbeddedClickHouse, head: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + head)
        yield connection


def test_too_large_a_body_is_refused_before_it_is_read(small: EmbeddedClickHouse) -> None:
    with unfinished_request(small, b"Content-Length: 100001\r\n\r\n") as connection:
        assert connection.recv(20).startswith(b"HTTP/1.1 413 ")


def test_too_large_a_body_is_refused_while_it_comes_in_chunks(small: EmbeddedClickHouse) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with unfinished_request(small, b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk) as connection:
        assert connection.recv(20).startswith(b"HTTP/1.1 413 ")


def test_too_large_a_body_is_refused_when_it_unpacks_to_that(small: EmbeddedClickHouse) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b" " * 10_000_000) + packer.flush()
    status, text = ask(small, body, Content_Encoding="gzip")
    assert status == 413
    assert "more than 100000 bytes" in text


def test_too_large_a_result_is_refused(small: EmbeddedClickHouse) -> None:
    assert ask(small, b"SELECT number FROM numbers(1000)")[0] == 200
    status, text = ask(small, b"SELECT number FROM numbers(1000000)")
    assert status == 500
    assert text.startswith("Code: 396.")


def test_when_all_places_are_taken_others_are_told_to_come_again(small: EmbeddedClickHouse) -> None:
    with unfinished_request(small, b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # it is being waited for: the only place is taken
        with closing(HTTPConnection("127.0.0.1", small.port, timeout=30)) as other:
            other.request("POST", "/", b"SELECT 1")
            answer = other.getresponse()
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert answer.read().startswith(b"Code: 202.")
        connection.sendall(b"SELECT 12")
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
    assert ask(small, b"SELECT 1") == (200, "1\n")


def test_what_takes_too_long_is_ended_and_its_place_is_free_again(tmp_path: Path) -> None:
    limits = Limits(queries=1, body_s=0.1, query_s=0.2)
    with EmbeddedClickHouse(tmp_path / "data", log=tmp_path / "log", limits=limits) as server:
        with unfinished_request(server, b"Content-Length: 9\r\n\r\nSELECT") as connection:
            assert connection.recv(20).startswith(b"HTTP/1.1 408 ")
        status, text = ask(server, b"SELECT sleepEachRow(0.1) FROM numbers(1000) SETTINGS max_block_size = 1")
        assert (status, text.partition(".")[0]) == (408, "Code: 159")


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    server = EmbeddedClickHouse(tmp_path / "data", log=tmp_path / "log")
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        for batch in range(1_000_000):
            try:
                status, _ = ask(server, f"INSERT INTO kept.t SELECT {batch}, number FROM numbers(100)".encode())
            except (OSError, HTTPException):
                return
            assert status == 200
            acknowledged.append(batch)
            if batch == 20:
                enough.set()

    with server:
        port = server.port
        assert ask(server, b"CREATE DATABASE kept")[0] == 200
        assert ask(server, b"CREATE TABLE kept.t (batch Int64, a Int64) ENGINE = MergeTree ORDER BY batch")[0] == 200
        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(30)
        server.kill()
        writer.join()
        assert server.returncode == -signal.SIGKILL
        server.start()
        assert server.port == port, "clients find it again"
        rows = ask(server, b"SELECT batch FROM kept.t GROUP BY batch HAVING count() = 100 ORDER BY batch")[1].split()
        assert [int(row) for row in rows][: len(acknowledged)] == acknowledged
        assert server.stop() == 0
        server.start()
        assert ask(server, b"SELECT uniqExact(batch) FROM kept.t") == (200, f"{len(rows)}\n")


def test_a_directory_in_which_chdb_itself_kept_tables_is_not_touched(tmp_path: Path) -> None:
    make = (
        "import chdb, sys; c = chdb.connect(sys.argv[1]); c.query('CREATE TABLE t ENGINE = Log AS SELECT 1'); c.close()"
    )
    subprocess.run([sys.executable, "-c", make, str(tmp_path / "data")], check=True)
    server = EmbeddedClickHouse(tmp_path / "data", log=tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"chDB itself kept tables .* choose an empty directory"):
        server.start()


def test_stopping_ends_running_queries_and_keeps_the_data(tmp_path: Path) -> None:
    """The query is seen to run before the stop, and is told that it was ended or finds the connection closed."""
    server = EmbeddedClickHouse(tmp_path / "data", log=tmp_path / "log")
    said: list[object] = []

    def long() -> None:
        try:
            said.append(ask(server, b"SELECT sleepEachRow(0.01) FROM numbers(1000000) SETTINGS max_block_size = 1"))
        except (OSError, HTTPException) as error:
            said.append(error)

    with server:
        assert ask(server, b"CREATE TABLE default.kept (a Int8) ENGINE = MergeTree ORDER BY a")[0] == 200
        thread = threading.Thread(target=long)
        thread.start()
        while ask(server, b"SELECT count() FROM system.processes")[1] == "1\n":
            assert thread.is_alive()
        assert server.stop() == 0
        thread.join()
        assert said
        server.start()
        assert ask(server, b"EXISTS TABLE default.kept") == (200, "1\n")
        assert ask(server, b"SELECT count() FROM default.`/etc/passwd`")[0] == 404, "still closed off after a restart"


def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with EmbeddedClickHouse(data_dir, log=tmp_path / "first.log") as first:
        second = EmbeddedClickHouse(data_dir, log=tmp_path / "second.log")
        with pytest.raises(ChildFailed, match=f"process {first.pid} serves it already; stop that one or choose"):
            second.start()
        third = EmbeddedClickHouse(tmp_path / "other", log=tmp_path / "third.log", port=first.port)
        with pytest.raises(ChildFailed, match=f"port {first.port} on 127.0.0.1: .*choose another one"):
            third.start()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port=0"], "--data-dir"),
        (["--data-dir=x", "--port=70000"], "port 70000 on 127.0.0.1"),
        (["--data-dir=x", "--port=0", "--host=0.0.0.0"], "invalid choice: '0.0.0.0'"),
        (["--data-dir=/proc/nowhere", "--port=0"], "data directory /proc/nowhere: .*choose another one"),
    ],
)
def test_wrong_arguments_are_told_in_one_line_without_a_trace(arguments: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.embedded.clickhouse", *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode in (1, 2)
    assert re.search(told, run.stderr), run.stderr
    assert "Traceback" not in run.stderr
