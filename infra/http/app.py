"""The application: readings in, health and metrics, and what FastAPI serves beside them."""

from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from infra.clickhouse.export import EXPORTS
from infra.http import description
from infra.http.answers import Problem, Receive, Scope, Send
from infra.http.ingest import PATH, Ingest
from infra.http.keys import Keys
from infra.http.page import page
from infra.http.read_api import PREFIX, without_strange_filters
from infra.observe import metrics

Troubles = Callable[[], list[str]]
"""What is wrong, one line each; nothing when all is well."""


class App:
    """ASGI."""

    def __init__(self, ingest: Ingest, exports: APIRouter, keys: Keys, *, ready: Troubles) -> None:
        self._ingest = ingest
        self.api = FastAPI(
            title="streamgauge",
            version=version("streamgauge"),
            description=description.ABOUT,
            docs_url=None,
            redoc_url=None,
        )
        _answer_problems_as_json(self.api)
        self.api.include_router(exports)
        _add_health(self.api, keys, ready)
        _describe(self.api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._ingest(scope, receive, send)
        else:
            await self.api(scope, receive, _counting(scope["path"], send))  # type: ignore[arg-type]


def _counting(path: str, send: Send) -> Send:
    """Count what is answered; names that are none of ours together, so that nobody can make up new ones."""
    route = path if path in _COUNTED else "other"

    async def counted(message: Any) -> None:
        if message["type"] == "http.response.start":
            metrics.HTTP_REQUESTS.labels(route, str(message["status"])).inc()
        await send(message)

    return counted


_COUNTED = frozenset(f"{PREFIX}/{name}" for name in EXPORTS)


def _answer_problems_as_json(api: FastAPI) -> None:
    @api.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return Response(error.body, error.status, error.headers, "application/json")

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return Response(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, said).body, 422, media_type="application/json")

    @api.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        told = Problem(HTTPStatus(error.status_code), f"{str(error.detail).lower()}; see /docs")
        return Response(told.body, error.status_code, error.headers, "application/json")


def _add_health(api: FastAPI, keys: Keys, ready: Troubles) -> None:
    @api.get("/health/live", tags=["health"], summary="Whether the process answers")
    async def live() -> dict[str, object]:
        return {"status": "ok"}

    @api.get("/health/ready", tags=["health"], summary="Whether readings can be taken in; 503 when not")
    async def is_ready(response: Response) -> dict[str, object]:
        troubles = ready()
        if troubles:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return {"status": "not ok" if troubles else "ok", "missing": troubles}

    @api.get("/metrics", tags=["health"], summary="For Prometheus; needs a key with the role `read`")
    async def exposition(request: Request) -> Response:
        keys.admit(dict(request.scope["headers"]), "read")
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _describe(api: FastAPI) -> None:
    """FastAPI's description, with what it does not serve itself."""
    told = api.openapi()
    without_strange_filters(told["paths"])
    told["paths"] = {PATH: {"post": description.POST_READINGS}, **told["paths"]}
    told.setdefault("components", {})["securitySchemes"] = description.KEYS
    for path, methods in told["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path.startswith("/health") else [{one: []} for one in description.KEYS]
    api.openapi = lambda: told  # type: ignore[method-assign]
    text = page(told)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(text, media_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)

    @api.get("/", include_in_schema=False)
    async def root() -> Response:
        return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"location": "/docs"})


_PAGE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
