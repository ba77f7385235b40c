"""The application: readings in, health and metrics, and what FastAPI serves beside them."""

from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from infra.http.answers import Problem, Receive, Scope, Send
from infra.http.ingest import PATH, Ingest
from infra.http.keys import Keys
from infra.observe import metrics

Troubles = Callable[[], list[str]]
"""What is wrong, one line each; nothing when all is well."""


class App:
    """ASGI."""

    def __init__(self, ingest: Ingest, keys: Keys, *, ready: Troubles) -> None:
        self._ingest = ingest
        self.api = FastAPI(
            title="streamgauge",
            version=version("streamgauge"),
            description="Sensor readings in, what became of them out.",
            docs_url=None,
            redoc_url=None,
        )
        _answer_problems_as_json(self.api)
        _add_health(self.api, keys, ready)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._ingest(scope, receive, send)
        else:
            await self.api(scope, receive, send)  # type: ignore[arg-type]


def _answer_problems_as_json(api: FastAPI) -> None:
    @api.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return Response(error.body, error.status, error.headers, "application/json")

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
