"""API keys: who may send and who may read, and how much.

A key is 256 random bits, so a plain SHA-256 of it is safe at rest: unlike a password it cannot be guessed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Literal, NamedTuple

from infra.http.answers import Problem

Role = Literal["write", "read"]

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_BURST_S = 2.0


class NewKey(NamedTuple):
    """key: to be given to its user, and kept by nobody else. sha256: what the service keeps."""

    key: str
    sha256: str


def new_key() -> NewKey:
    """A fresh one."""
    key = f"sg_{secrets.token_urlsafe(32)}"
    return NewKey(key, hashlib.sha256(key.encode()).hexdigest())


class Bucket:
    """Lets through `rate` a second on average, and two seconds' worth at once.

    What a request costs is known only when it was read, so one is let in while anything is left and may leave a debt,
    which the following ones wait for.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate * _BURST_S)
        self._left = self._most
        self._at_s = clock()

    def wait_s(self) -> float:
        """Seconds until a request is let in; 0 for now."""
        now_s = self._clock()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return 0.0 if self._left > 0 else -self._left / self._rate

    def take(self, cost: float) -> None:
        """What a request that was let in has cost."""
        self._left -= cost


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. bucket: None when there is no limit."""

    name: str
    digest: bytes
    roles: Sequence[Role]
    bucket: Bucket | None = None

    def spend(self, cost: float) -> None:
        """What the request has cost, in readings."""
        if self.bucket is not None:
            self.bucket.take(cost)


_ANYBODY = Caller("", b"", ("write", "read"))


class Keys:
    """The callers there are. Without any, everybody on this machine may do everything."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._callers = callers

    def admit(self, headers: Mapping[bytes, bytes], role: Role) -> Caller:
        """Who sends a request with these headers (names in small letters). Raises Problem."""
        if not self._callers:
            _check_local(headers)
            return _ANYBODY
        caller = self._known(_given(headers))
        if caller is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "no API key that is known here: send `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
                "`streamgauge ingest key NAME` makes one",
                close=True,
            )
        if role not in caller.roles:
            raise Problem(HTTPStatus.FORBIDDEN, f"this key has no role {role!r}: add it to its roles", close=True)
        if caller.bucket is not None and (wait_s := caller.bucket.wait_s()):
            text = "more than this key's rate allows; try again after the seconds that Retry-After says"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, wait_s=wait_s)
        return caller

    def _known(self, key: bytes) -> Caller | None:
        """All are compared, each in constant time, so that time tells nothing."""
        digest = hashlib.sha256(key).digest()
        found = None
        for caller in self._callers:
            if hmac.compare_digest(caller.digest, digest):
                found = caller
        return found


def _given(headers: Mapping[bytes, bytes]) -> bytes:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")


def _check_local(headers: Mapping[bytes, bytes]) -> None:
    """A web page elsewhere can give its own name our address, so that a browser here would ask us for it."""
    host = headers.get(b"host", b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() not in _LOOPBACK:
        text = f"without API keys only requests to {', '.join(_LOOPBACK)} are served, not to {name[:100]!r}"
        raise Problem(HTTPStatus.FORBIDDEN, text, close=True)
