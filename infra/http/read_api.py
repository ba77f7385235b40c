"""GET /api/...: what is stored, as JSON, NDJSON, CSV, Parquet or Arrow, page by page."""

import asyncio
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from infra.clickhouse.client import ClickHouseError
from infra.clickhouse.export import EXPORTS, BadCursor, Busy, Export, Exporter, Format, Page, Wanted
from infra.http.answers import Problem
from infra.http.description import REFUSALS
from infra.http.keys import Keys
from infra.observe import metrics
from operators.timestamps import to_ms

PREFIX = "/api"

_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
_DEFAULT_LIMIT = 10_000
_SEND_S = 300.0
"""A page is small; who takes longer to read it keeps others waiting."""

_Names = Annotated[list[str] | None, Query(description="may be given several times")]


def read_api(exporter: Exporter, keys: Keys, *, max_rows: int) -> APIRouter:
    """Routes for every export."""
    router = APIRouter(prefix=PREFIX, tags=["export"])
    limit = Annotated[int, Query(ge=1, le=max_rows, description="rows of a page")]
    first_limit = min(_DEFAULT_LIMIT, max_rows)

    def add(export: Export) -> None:
        async def rows(
            request: Request,
            from_: Annotated[str, Query(alias="from", description=f"{export.time} from then on: {_WHEN}")] = "",
            to: Annotated[str, Query(description=f"{export.time} before then: {_WHEN}")] = "",
            sensor: _Names = None,
            location: _Names = None,
            type_: Annotated[list[str] | None, Query(alias="type", description="sensor types")] = None,
            asset: _Names = None,
            window: _Names = None,
            detector: _Names = None,
            limit: limit = first_limit,
            format_: Annotated[Format | None, Query(alias="format", description="else Accept decides")] = None,
            cursor: Annotated[str, Query(description="of the page before, as in `next`")] = "",
        ) -> Response:
            with metrics.HTTP_SECONDS.labels(f"{PREFIX}/{export.name}").time():
                keys.admit(dict(request.scope["headers"]), "read").spend(1)
                given = {"sensor": sensor, "location": location, "type": type_, "asset": asset}
                given |= {"window": window, "detector": detector}
                wanted = Wanted(
                    export=export,
                    form=format_ or _accepted(request.headers.get("accept", "")),
                    limit=limit,
                    from_ms=_moment(from_, "from"),
                    to_ms=_moment(to, "to"),
                    filters=_filters(export, given),
                    cursor=cursor,
                )
                page = await _page(exporter, wanted)
            return _Answer(page, wanted.form, _next(request, page.next))

        summary = f"{export.about[0].upper()}{export.about[1:]}, in order of `{export.time}`"
        router.add_api_route(f"/{export.name}", rows, methods=["GET"], summary=summary, responses=_RESPONSES)

    for one in EXPORTS.values():
        add(one)
    return router


_WHEN = "RFC 3339 with an offset, or epoch milliseconds"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of rows; a header `Link` (and `next` in JSON) names the following one.",
        "content": {kind: {} for kind in _TYPES.values()},
    },
    **REFUSALS,
}
_FILTERS = frozenset(name for export in EXPORTS.values() for name in export.filters)


def without_strange_filters(paths: dict[str, Any]) -> None:
    """Take those parameters out of a description that an export cannot be asked by."""
    for export in EXPORTS.values():
        operation = paths[f"{PREFIX}/{export.name}"]["get"]
        strange = _FILTERS - export.filters.keys()
        operation["parameters"] = [one for one in operation["parameters"] if one["name"] not in strange]


class _Answer(StreamingResponse):
    """A page on its way; its connection to ClickHouse is let go of however it ends."""

    def __init__(self, page: Page, form: Format, following: str) -> None:
        headers = {"cache-control": "no-store"}
        if following:
            headers["link"] = f'<{following}>; rel="next"'
        pieces = _in_json(page, following) if form == "json" else iter(page)
        super().__init__(pieces, media_type=_TYPES[form], headers=headers)
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._page.close)


def _in_json(page: Page, following: str) -> Iterator[bytes]:
    yield b'{"next":%b,"rows":' % msgspec.json.encode(following or None)
    yield from page
    yield b"}\n"


async def _page(exporter: Exporter, wanted: Wanted) -> Page:
    try:
        return await run_in_threadpool(exporter.page, wanted)
    except Busy:
        text = "as many exports run as may, see http.exports; try again shortly"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, wait_s=1) from None
    except BadCursor:
        raise Problem(HTTPStatus.BAD_REQUEST, "cursor: no page has given it; begin without one") from None
    except ClickHouseError as error:
        status = HTTPStatus.SERVICE_UNAVAILABLE if error.transient else HTTPStatus.BAD_GATEWAY
        raise Problem(status, str(error), wait_s=5 if error.transient else None) from None


def _moment(text: str, name: str) -> int | None:
    if not text:
        return None
    number = text.removeprefix("-")
    (moment,), faults = to_ms([int(text) if number.isascii() and number.isdigit() else text])
    if faults:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, faults[0].detail.replace("timestamp", name, 1))
    return int(moment)


def _filters(export: Export, given: Mapping[str, list[str] | None]) -> dict[str, list[str]]:
    found = {}
    for name, values in given.items():
        if not values:
            continue
        if name not in export.filters:
            text = f"{name}: {export.name} cannot be asked by it; by {', '.join(export.filters)} they can"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        found[export.filters[name]] = values
    return found


def _accepted(accept: str) -> Format:
    """The first format that is accepted and that there is; JSON when anything will do."""
    offers = [one.partition(";")[0].strip().lower() for one in accept.split(",") if one.strip()]
    by_type = {kind: form for form, kind in _TYPES.items()}
    for offer in offers:
        if offer in by_type:
            return by_type[offer]
    if not offers or any(offer in ("*/*", "application/*") for offer in offers):
        return "json"
    text = f"of what Accept names there is nothing: {', '.join(by_type)}, or ?format={'|'.join(get_args(Format))}"
    raise Problem(HTTPStatus.NOT_ACCEPTABLE, text)


def _next(request: Request, cursor: str) -> str:
    """Path and query of the following page; "" after the last."""
    if not cursor:
        return ""
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*asked, ('cursor', cursor)])}"
