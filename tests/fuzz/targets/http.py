"""What a client may send to /health and /metrics: an answer of a legal status, and nothing raises."""

import re

from infra.observe.health import HealthServer
from tests.fuzz.http_exchange import handled

_SERVER = HealthServer("127.0.0.1:0", live=list, ready=lambda: ["partition t/0"], metrics=lambda: b"up 1\n")
_BEGIN = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [^\r\n]*\r\n")

SEEDS = [
    b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health/ready?verbose=1 HTTP/1.0\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nConnection: keep-alive\r\nAccept: text/plain;version=0.0.4\r\n\r\n",
    b"GET /metrics\r\n",
    b"HEAD / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    b"POST /health/live HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /a HTTP/1.1\r\nConnection: keep-alive\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
]
TOKENS = (
    *(b"GET ", b"HEAD ", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1.1", b"HTTP/-1.1", b"HTTP/1.\xb2", b"\r\n"),
    *(
        b"Connection: keep-alive\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Transfer-Encoding: chunked",
    ),
    *(b"//", b"/..", b"%00", b"?", b"\0", b"\xff", b"A" * 70_000, b"X: y\r\n" * 120, b" folded\r\n", b":\r\n"),
)


def check(data: bytes) -> str:
    """AssertionError for an answer that is none."""
    answer = handled(_SERVER, data)
    if not answer:
        assert not data.partition(b"\n")[0].decode("latin-1").strip(), "no answer"
        return "no answer"
    begin = _BEGIN.match(answer)
    assert begin is not None, answer[:200]
    return begin[1].decode()
