"""The application: data of the pages as JSON and CSV, what people do there, a stream of what is new, and the files."""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, StreamingResponse
from starlette.staticfiles import StaticFiles

from infra.clickhouse.client import ClickHouseError
from infra.console.dataset import Ask, Dataset, Deed
from infra.console.knowledge import Knowledge
from infra.console.pages import DATASETS, DEEDS
from infra.console.reader import Clock, Reader
from infra.console.scope import read_scope
from infra.console.stream import Hub
from infra.http.answers import Problem

STATIC = Path(__file__).parent / "static"

_MAX_BODY_BYTES = 64 * 1024


def build(reader: Reader, hub: Hub, *, clock: Clock, known: Knowledge) -> FastAPI:
    """ASGI; who is let in is decided before it, by `infra.console.access`. clock: now."""
    app = FastAPI(title="streamgauge console", version=version("streamgauge"), docs_url=None, redoc_url=None)
    _answer_problems_as_json(app)
    app.include_router(_api(reader, hub, clock, known))
    _add_files(app)
    app.add_middleware(GZipMiddleware, minimum_size=2_000, compresslevel=5)
    return app


def _api(reader: Reader, hub: Hub, clock: Clock, known: Knowledge) -> APIRouter:
    api = APIRouter(prefix="/api")

    @api.get("/stream", summary="Server-sent events: numbers each second, anomalies as they are stored")
    async def stream(request: Request) -> Response:
        scope = read_scope(_given(request), now_ms=clock())
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(hub.events(scope), media_type="text/event-stream", headers=headers)

    for page, datasets in DATASETS.items():
        for dataset in datasets.values():
            route = _answering(page, dataset, reader, clock, known)
            api.add_api_route(f"/{page}/{dataset.name}", route, methods=["GET"], summary=dataset.about)
    for page, deeds in DEEDS.items():
        for deed in deeds.values():
            route = _doing(deed, reader, clock)
            api.add_api_route(f"/{page}/{deed.name}", route, methods=["POST"], summary=deed.about)
    return api


Route = Callable[[Request], Awaitable[Response]]


def _answering(page: str, dataset: Dataset, reader: Reader, clock: Clock, known: Knowledge) -> Route:
    async def answer(request: Request) -> Response:
        given, now_ms = _given(request), clock()
        ask = Ask(scope=read_scope(given, now_ms=now_ms), reader=reader, given=given, now_ms=now_ms, known=known)
        form = ask.choice("format", ("json", "csv"), "json")
        table = await run_in_threadpool(dataset.make, ask)
        headers = {"cache-control": "no-store"}
        if form == "csv":
            headers["content-disposition"] = f'attachment; filename="streamgauge-{page}-{dataset.name}.csv"'
            return Response(table.csv(), media_type="text/csv; charset=utf-8", headers=headers)
        told = table.with_about(from_ms=ask.scope.from_ms, to_ms=ask.scope.to_ms)
        return Response(told.json(), media_type="application/json", headers=headers)

    return answer


def _doing(deed: Deed, reader: Reader, clock: Clock) -> Route:
    async def act(request: Request) -> Response:
        caller, body = request.state.caller, await _json_object(request)

        def run() -> Mapping[str, Any]:
            with reader.client() as client:
                return deed.do(client, body, caller.name, clock())

        told = await run_in_threadpool(run)
        caller.record(
            deed.name, str(body.get("alert_id", "")), **{str(k): v for k, v in body.items() if k != "alert_id"}
        )
        return Response(json.dumps(told), media_type="application/json")

    return act


async def _json_object(request: Request) -> Mapping[str, Any]:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MAX_BODY_BYTES:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MAX_BODY_BYTES} bytes", close=True)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return found


def _given(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return found


def _add_files(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/static", _Files(directory=STATIC), name="static")


class _Files(StaticFiles):
    """A browser asks each time whether they are still the same: a new release is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        found = super().file_response(*args, **kwargs)
        found.headers["cache-control"] = "no-cache"
        return found


def _answer_problems_as_json(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return Response(error.body, error.status, error.headers, "application/json")

    @app.exception_handler(ClickHouseError)
    async def away(_: Request, error: ClickHouseError) -> Response:
        status = HTTPStatus.SERVICE_UNAVAILABLE if error.transient else HTTPStatus.BAD_GATEWAY
        told = Problem(status, str(error), wait_s=5 if error.transient else None)
        return Response(told.body, told.status, told.headers, "application/json")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        told = Problem(HTTPStatus(error.status_code), str(error.detail).lower())
        return Response(told.body, error.status_code, error.headers, "application/json")
