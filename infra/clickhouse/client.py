"""Connecting to ClickHouse over HTTP, and what its errors mean for people."""

import logging
import math
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import clickhouse_connect
from clickhouse_connect.driver.client import Client as Client  # flows name the type from here
from clickhouse_connect.driver.exceptions import Error, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient

from infra.clickhouse import cluster, tls

CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 60

logger = logging.getLogger(__name__)
# The library warns at every failed request; an outage is said once, by us.
logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)

_HEALING_CODES = frozenset(
    {
        *(32, 33, 74, 75, 86, 198, 203, 209, 210, 236, 279, 519),  # a connection, file or server that broke off
        *(159, 160, 201, 202, 241, 252, 319, 394, 439, 745),  # too slow, too much at once, out of memory
        *(173, 242, 243, 244, 285, 341, 425, 999),  # no space, read-only for now, replicas or Keeper not there
    }
)
"""ClickHouse error codes worth another try; every other one would come back for ever."""

_SCHEMA = "run `streamgauge db init` to bring the schema up to date"
_LOGIN = "check clickhouse.username and clickhouse.password"
_HINTS = {
    8: _SCHEMA,
    16: _SCHEMA,
    20: _SCHEMA,
    47: "check the names in the query; DESCRIBE TABLE lists columns",
    53: _SCHEMA,
    60: "check the table's name; without tables run `streamgauge db init`",
    62: "check the query's syntax",
    81: "run `streamgauge db init` to create the database and its tables",
    158: "ask for less: a shorter time range, an aggregate, LIMIT",
    164: "only reading is allowed here",
    192: _LOGIN,
    193: _LOGIN,
    194: _LOGIN,
    497: "grant this user the right, or use another user",
    516: _LOGIN,
}


class ClickHouseError(Exception):
    """ClickHouse cannot be reached or refuses; the message says what was wrong and what to do.

    code: ClickHouse's error number; None when it did not answer in its own words.
    transient: the same request may succeed later.
    """

    def __init__(self, message: str, *, code: int | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where ClickHouse is and as whom to speak to it.

    secure: HTTPS. ca_file: who vouches for its certificate, PEM; the usual authorities when empty.
    cert_file, key_file: our certificate, PEM; without a password it is also the login.
    cluster: the name of the cluster whose servers hold the tables, see infra/clickhouse/cluster.py; empty: one server.
    """

    host: str = "127.0.0.1"
    port: int = 8123
    database: str = "streamgauge"
    username: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def connect(address: Address, *, wait_s: float = 0, stop: Event | None = None) -> Client:
    """A client for one thread at a time whose unqualified table names mean `address.database`.

    wait_s: how long to wait for a ClickHouse that does not answer (math.inf: for ever), which is said once.
    stop: once set, waiting is given up.
    The database need not exist yet. Use it in `with`, or close() it. Raises ClickHouseError.
    """
    if wrong := tls.wrong_file(address):
        raise ClickHouseError(wrong)
    stop = stop or Event()
    outage = Outage(str(address))
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            with explained("the connection", address):
                client = _connect(address)
            outage.over()
            return client
        except ClickHouseError as error:
            if not error.transient or time.monotonic() >= deadline_s or stop.wait(outage.failed(error)):
                raise


def _connect(address: Address) -> Client:
    client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        settings=cluster.SETTINGS if address.cluster else None,
        secure=address.secure,
        ca_cert=address.ca_file or None,
        client_cert=address.cert_file or None,
        client_cert_key=address.key_file or None,
        # "mutual": the certificate is the login; "strict": it comes beside user and password.
        tls_mode="strict" if address.password else "mutual",
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=ANSWER_TIMEOUT_S,
        # A session would make the server run this client's requests one after another.
        autogenerate_session_id=False,
        # One's own connections, which close() ends.
        dedicated_pool=True,
        # Times as they are: UTC and saying so.
        tz_mode="aware",
    )
    # Named only now: the library's opening queries fail in a database that `db init` has yet to create.
    client.database = address.database
    if isinstance(client, HttpClient):
        # Retrying is ours; urllib3 would log each of its own attempts.
        client.http_retries = 0
    return client


class Outage:
    """Says once that ClickHouse is away and once that it is back; gives growing pauses between attempts."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since_s = math.nan
        self._pause_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether ClickHouse is away now."""
        return not math.isnan(self._since_s)

    def failed(self, error: Exception, *, held: str = "") -> float:
        """Seconds to pause before the next attempt; `held` says what waits meanwhile."""
        if not self.lasts:
            self._since_s = time.monotonic()
            self._pause_s = 0.05
            logger.warning("%s -- trying again until it is back%s", error, f"; {held}" if held else "")
        self._pause_s = min(2 * self._pause_s, 5.0)
        return self._pause_s

    def over(self) -> None:
        """An attempt succeeded."""
        if self.lasts:
            logger.warning("ClickHouse at %s is back after %.0f s", self._name, time.monotonic() - self._since_s)
            self._since_s = math.nan


@contextmanager
def explained(what: str, server: Client | Address) -> Iterator[None]:
    """Turn the library's errors into ClickHouseError; `what` was asked of the server."""
    try:
        yield
    except Error as error:
        where = server.uri.partition("://")[2] if isinstance(server, Client) else str(server)
        raise _explain(error, what, where) from error


def _explain(error: Error, what: str, where: str) -> ClickHouseError:
    text = re.sub(r"\s+", " ", str(error))
    if error.code is not None:
        said = text.partition("DB::Exception: ")[2] or text
        said = re.sub(r"\s*\(version .*$|\s*\(for url .*$", "", said)
        hint = f": {_HINTS[error.code]}" if error.code in _HINTS else ""
        message = f"ClickHouse refused {what}: {said} [code {error.code}]{hint}"
        return ClickHouseError(message, code=error.code, transient=error.code in _HEALING_CODES)
    status = re.search(r"HTTP status (\d+)", text)
    if status is not None:
        message = f"{where} answers like no ClickHouse: HTTP status {status[1]} for {what}: {_WHERE}"
        return ClickHouseError(message, transient=int(status[1]) >= 500 or status[1] in ("408", "425", "429"))
    if isinstance(error, OperationalError):
        root = _root(error)
        if refusal := tls.refusal(root):
            return ClickHouseError(f"ClickHouse at {where}: {refusal}")
        return ClickHouseError(f"ClickHouse at {where} does not answer ({_word(root)}): {_WHERE}", transient=True)
    return ClickHouseError(f"ClickHouse at {where}, {what}: {text}")


def _root(error: BaseException) -> BaseException:
    wrapped = next((one for one in error.args if isinstance(one, BaseException)), None)  # as urllib3 does
    inner = error.__cause__ or error.__context__ or wrapped
    return error if inner is None else _root(inner)


def _word(error: BaseException) -> str:
    """What the operating system said, in words, or the kind of error."""
    if isinstance(error, ssl.SSLEOFError):
        return "it ends the connection at once; if it wants a certificate, check clickhouse.cert_file"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


_WHERE = (
    "is it running, and are clickhouse.host and clickhouse.port those of its HTTP interface? "
    "(`streamgauge up` starts one on this machine)"
)
