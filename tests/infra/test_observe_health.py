"""Liveness, readiness and metrics over HTTP."""

import json
import urllib.error
from urllib.request import Request, urlopen

import pytest

from infra.observe.health import HealthServer, parse_address


def get(port: int, path: str, *, method: str = "GET") -> tuple[int, bytes]:
    request = Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_says_what_is_missing_and_when_nothing_is() -> None:
    missing = ["partition t/0 is not read yet"]
    with HealthServer("127.0.0.1:0", live=list, ready=lambda: missing, metrics=lambda: b"up 1\n") as server:
        assert get(server.port, "/health/live")[0] == 200
        status, body = get(server.port, "/health/ready")
        assert (status, json.loads(body)["missing"]) == (503, missing)
        missing.clear()
        assert get(server.port, "/health/ready?verbose=1")[0] == 200
        assert get(server.port, "/metrics") == (200, b"up 1\n")
        status, body = get(server.port, "/secret")
        assert status == 404
        assert "/health/live" in json.loads(body)["paths"]
        status, body = get(server.port, "/health/live", method="POST")
        assert status == 501
        assert b"POST" not in body


def test_an_address_in_use_or_none_at_all_is_refused() -> None:
    with HealthServer("127.0.0.1:0", live=list, ready=list) as server, pytest.raises(OSError, match="in use"):
        HealthServer(f"127.0.0.1:{server.port}", live=list, ready=list)
    for wrong in ("9464", "localhost:", "localhost:port", "localhost:70000"):
        with pytest.raises(ValueError, match="is no address"):
            parse_address(wrong)
    assert parse_address("[::1]:9464") == ("::1", 9464)
