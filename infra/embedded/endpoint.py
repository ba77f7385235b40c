"""ClickHouse's HTTP interface over the engine: what clickhouse-connect and curl send, and what they read.

Differences to a server, on purpose: one user without a password, so loopback only; a setting `dialect`, external tables
and sessions are not served; results are built in memory before the first byte is sent, so that an error always has its
status.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from infra.embedded.engine import Engine, Outcome
from infra.embedded.errors import ACCESS_DENIED, BAD_ARGUMENTS, TIMEOUT_EXCEEDED, TOO_MANY_QUERIES, QueryError
from infra.embedded.http_codec import compress, decompress, form_fields, too_large
from infra.embedded.limits import Limits
from infra.embedded.statement import parse

# Parameters of the transport, which are not settings of a query. Sessions are ignored: each query has its own.
_TRANSPORT = (
    "query database default_format enable_http_compression query_id user password quota_key role session_id "
    "session_timeout session_check buffer_size wait_end_of_query send_progress_in_http_headers compress decompress "
    "http_headers_progress_interval_ms client_protocol_version cancel_http_readonly_queries_on_client_close"
)
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
}


class Endpoint:
    """Serves one engine over HTTP; `app` is the ASGI application."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.queries)
        self._threads = ThreadPoolExecutor(limits.queries, thread_name_prefix="query")
        self._headers = {
            "X-ClickHouse-Server-Display-Name": "streamgauge-embedded",
            "X-ClickHouse-Timezone": engine.timezone,
        }
        self.app = Starlette(
            routes=[Route("/", self._query, methods=["GET", "POST"]), Route("/ping", _ping)],
            # A web page of any site could else reach us under a name of its own that resolves to 127.0.0.1.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._engine.cancel_all()
        self._threads.shutdown(cancel_futures=True)

    async def _query(self, request: Request) -> Response:
        query_id = request.query_params.get("query_id", "")
        fits_in_header = query_id.isascii() and query_id.isprintable() and query_id
        headers = self._headers | {"X-ClickHouse-Query-Id": query_id if fits_in_header else str(uuid.uuid4())}
        try:
            return await self._answer(request, headers)
        except QueryError as error:
            return self._failure(error, headers)
        except UnicodeDecodeError as error:
            return self._failure(QueryError(BAD_ARGUMENTS, f"The request is not valid UTF-8: {error}"), headers)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is there to read it

    def _failure(self, error: QueryError, headers: dict[str, str]) -> Response:
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        if error.status == 503:
            headers["Retry-After"] = "1"
        version = "" if "(version " in error.text else f" (version {self._engine.version})"
        return PlainTextResponse(f"{error.text}{version}\n", error.status, headers)

    async def _answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        if "origin" in request.headers:
            raise QueryError(ACCESS_DENIED, "Refused by the embedded endpoint: it does not serve web pages")
        parameters = dict(request.query_params)
        if request.method == "GET" and not parameters.get("query"):
            return PlainTextResponse("Ok.\n", headers=headers)
        async with self._turn():
            body = await self._body(request)
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._run, request, parameters, body, headers
            )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the places for queries; taken before the body is read, so that waiting ones hold no memory."""
        try:
            async with asyncio.timeout(self._limits.queue_s):
                await self._turns.acquire()
        except TimeoutError:
            raise QueryError(
                TOO_MANY_QUERIES,
                f"{self._limits.queries} queries run already; come again later. (TOO_MANY_SIMULTANEOUS_QUERIES)",
            ) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _body(self, request: Request) -> bytes:
        if int(request.headers.get("content-length", 0)) > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._limits.body_bytes:
                        raise too_large(self._limits.body_bytes)
        except TimeoutError:
            raise QueryError(
                TIMEOUT_EXCEEDED, f"The body did not arrive within {self._limits.body_s:g} s. (TIMEOUT_EXCEEDED)"
            ) from None
        return bytes(body)

    def _run(self, request: Request, parameters: dict[str, str], body: bytes, headers: Mapping[str, str]) -> Response:
        encoding = request.headers.get("content-encoding", "")
        body = decompress(body, encoding=encoding, max_bytes=self._limits.body_bytes)
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            parameters |= form_fields(body, content_type=content_type)
            body = b""
        query = parameters.get("query", "").encode()
        outcome = self._engine.run(
            parse(query + b"\n" + body if query else body),
            database=parameters.get("database", ""),
            settings=self._settings(parameters, read_only=request.method == "GET"),
            parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
            default_format=parameters.get("default_format", "TabSeparated"),
        )
        return _response(outcome, request, parameters, headers)

    def _settings(self, parameters: Mapping[str, str], *, read_only: bool) -> dict[str, str]:
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT.split() and not name.startswith("param_")
        }
        if "dialect" in settings:
            raise QueryError(ACCESS_DENIED, "Refused by the embedded endpoint: it serves ClickHouse's own SQL only")
        defaults = {
            "max_execution_time": f"{self._limits.query_s:g}",
            "max_result_bytes": str(self._limits.result_bytes),
        }
        for name, most in defaults.items():
            if _is_unlimited_or_over(settings.get(name, "0"), most):
                settings[name] = most
        if read_only:  # as a server does: GET must not change anything
            settings["readonly"] = "2"
        return settings


def _is_unlimited_or_over(value: str, most: str) -> bool:
    try:
        return not 0 < float(value) <= float(most)
    except ValueError:
        return False  # the engine will say what is wrong with it


def _response(
    outcome: Outcome, request: Request, parameters: Mapping[str, str], headers: Mapping[str, str]
) -> Response:
    summary = {
        "read_rows": outcome.read_rows,
        "read_bytes": outcome.read_bytes,
        "written_rows": outcome.written_rows,
        "written_bytes": outcome.written_bytes,
        "total_rows_to_read": outcome.read_rows,
        "result_rows": outcome.result_rows or outcome.written_rows,
        "result_bytes": len(outcome.body),
        "elapsed_ns": outcome.elapsed_ns,
    }
    told = {**headers, "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()})}
    body = outcome.body
    if outcome.format is not None:
        told["X-ClickHouse-Format"] = outcome.format
        told["Content-Type"] = _CONTENT_TYPES.get(outcome.format, "application/octet-stream")
    if body and parameters.get("enable_http_compression") == "1":
        body, encoding = compress(body, accept_encoding=request.headers.get("accept-encoding", ""))
        if encoding:
            told["Content-Encoding"] = encoding
    return Response(body, headers=told)


async def _ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")
