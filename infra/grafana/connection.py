"""Speaking to a Grafana over its HTTP API, and what its errors mean for people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaServerError

from infra.grafana.errors import GrafanaError

TIMEOUT_S = 15.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """url: of Grafana, with the path it is served under. token: of a service account."""

    url: str
    token: str = field(repr=False)


def connect(login: Login) -> GrafanaApi:
    """A client of Grafana; nothing is sent yet. Raises GrafanaError for an address that is none."""
    parts = urlsplit(login.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GrafanaError(f'grafana.url = {login.url!r}: expected an address such as "https://grafana.example:3000"')
    if not login.token:
        raise GrafanaError(
            "no token for Grafana: make a service account with the role Admin (Administration > Service accounts), and "
            "give its token as STREAMGAUGE_GRAFANA__TOKEN or in a file named by grafana.token_file"
        )
    # The client puts "api" right behind the path.
    path = parts.path.rstrip("/") + "/"
    return GrafanaApi.from_url(f"{parts.scheme}://{parts.netloc}{path}", credential=login.token, timeout=TIMEOUT_S)


def found(ask: Callable[[], Found]) -> Found | None:
    """What was asked for; None when Grafana has none of it."""
    try:
        return ask()
    except GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise


@contextmanager
def explained(what: str, login: Login) -> Iterator[None]:
    """Turn errors of the client into GrafanaError; `what` was being done."""
    try:
        yield
    except GrafanaException as error:
        raise GrafanaError(_explain(error, what, login)) from error
    except requests.exceptions.SSLError as error:
        raise GrafanaError(
            f"Grafana at {login.url}: its certificate is not trusted ({_root(error)}): set REQUESTS_CA_BUNDLE to the "
            "file of the authority that signed it"
        ) from error
    except requests.exceptions.JSONDecodeError as error:
        raise GrafanaError(f"{login.url} answers like no Grafana: {_WHERE}") from error
    except requests.exceptions.Timeout as error:
        raise GrafanaError(f"Grafana at {login.url} took longer than {TIMEOUT_S:g} s for {what}: try again") from error
    except requests.exceptions.RequestException as error:
        raise GrafanaError(f"Grafana at {login.url} does not answer ({_root(error)}): {_WHERE}") from error


def message(error: GrafanaException) -> str:
    """What Grafana said, in its words."""
    said: Any = error.response
    return str(said.get("message", said)) if isinstance(said, dict) else str(said)[:200]


def _explain(error: GrafanaException, what: str, login: Login) -> str:
    said = message(error)
    if error.status_code == 401:
        return (
            f"Grafana at {login.url} does not know this token ({said}): is it of this Grafana, and not expired? It is "
            "read from STREAMGAUGE_GRAFANA__TOKEN or grafana.token_file"
        )
    if error.status_code == 403:
        return f"this token may not do that: {what} ({said}): give its service account the role Admin"
    if isinstance(error, GrafanaServerError):
        return f"Grafana at {login.url} failed at {what} (HTTP status {error.status_code}): {said}: see its log"
    return f"Grafana refused {what} (HTTP status {error.status_code}): {said}"


def _root(error: BaseException) -> str:
    """What the operating system said, in words, or the kind of the first error."""
    inner = error.__cause__ or error.__context__
    if inner is None and error.args and isinstance(error.args[0], BaseException):
        inner = error.args[0]
    reason = getattr(inner, "reason", None)
    if isinstance(reason, BaseException):
        inner = reason
    if inner is not None and inner is not error:
        return _root(inner)
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


_WHERE = "is it running, and is grafana.url its address?"
