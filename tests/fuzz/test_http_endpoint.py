"""Anything over TCP to /health and /metrics: an answer of a legal status, and the next probe is answered as before."""

import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.observe.health import HealthServer

_line = st.binary(max_size=60).map(lambda line: line.replace(b"\n", b""))
_begin = st.tuples(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"get", b"OPTIONS", b"\xff", b"G" * 100]),
    st.sampled_from([b"/health/live", b"/health/ready?x", b"/metrics", b"*", b"//", b"http://a/b", b"/" * 70_000]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"HTTP/x", b""]),
).map(b" ".join)
_header = _line | st.sampled_from(
    [b"Connection: keep-alive", b"Expect: 100-continue", b"Content-Length: -1", b"Transfer-Encoding: chunked", b" fold"]
)
_request = st.tuples(_begin | _line, st.lists(_header, max_size=4), st.binary(max_size=30)).map(
    lambda parts: b"\r\n".join([parts[0], *parts[1], b"", parts[2]])
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")


@pytest.fixture(scope="module")
def server() -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1:0", live=list, ready=lambda: ["no"], metrics=lambda: b"up 1\n") as serving:
        yield serving


def _asked(server: HealthServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionError:
            pass  # it had read enough, and its answer may be lost with the connection
        return answer


@given(_request)
def test_every_answer_is_one_and_the_server_goes_on(server: HealthServer, request: bytes) -> None:
    answer = _asked(server, request)
    if answer:
        status = _STATUS.match(answer)
        assert status is not None
        assert int(status[1]) in (100, 200, 400, 404, 414, 431, 501, 503, 505)
    assert b" 200 " in _asked(server, b"GET /health/live HTTP/1.1\r\n\r\n")[:20]
