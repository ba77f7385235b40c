"""Server-sent events: numbers each second, anomalies as soon as they are stored. One poll serves all who look."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool

from infra.clickhouse.client import ClickHouseError
from infra.console.reader import Clock, Reader
from infra.console.scope import Scope
from infra.console.table import Table
from infra.http.answers import Problem

EVERY_S = 1.0

_WITHIN_MS = 600_000
"""Older ones, by their event time, are no news."""
_NEW = 200
_SLOW_MS = 3_000
_AGAIN_S = 3
"""When a row was stored is known by ClickHouse's clock, in whole seconds: the last ones are looked at again."""
_QUEUED = 20
_KNOWN = 20_000

logger = logging.getLogger(__name__)

Row = dict[str, Any]


class News:
    """What ClickHouse has that it had not a moment ago. Blocks: for a thread."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._known: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        self._asked_ms = clock()
        self._slow: tuple[int, Row] = (0, {})

    def numbers(self) -> Row:
        """As of now, by location and type. Raises ClickHouseError, Problem."""
        now = {"now_ms": self._clock()}
        return {"time": now["now_ms"], "groups": list(self._table(_NUMBERS, now).rows()), **self._single(now)}

    def anomalies(self) -> list[Row]:
        """Those stored since the last call, newest first. Raises ClickHouseError, Problem."""
        now_ms = self._clock()
        back_s = (now_ms - self._asked_ms) // 1_000 + _AGAIN_S
        new = []
        for row in self._table(_ANOMALIES, {"now_ms": now_ms, "back_s": back_s}).rows():
            key = (row["sensor_id"], row["time"], row.pop("topic"), row.pop("partition"), row.pop("offset"))
            if key not in self._known:
                self._known[key] = None
                new.append(row)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        self._asked_ms = now_ms
        return new

    def _single(self, now: Row) -> Row:
        """What changes slowly, or takes longer, is asked for every few seconds."""
        if now["now_ms"] - self._slow[0] >= _SLOW_MS:
            (row,) = self._table(_SLOWLY, now).rows()
            self._slow = (now["now_ms"], row)
        (newest,) = self._table(_NEWEST, {}).rows()
        return self._slow[1] | newest

    def _table(self, sql: str, parameters: Row) -> Table:
        return self._reader.table(sql, {"within_ms": _WITHIN_MS, **parameters})


_NUMBERS = """
SELECT location, sensor_type,
    countIf(time BETWEEN fromUnixTimestamp64Milli({now_ms:Int64} - 12000)
        AND fromUnixTimestamp64Milli({now_ms:Int64} - 2000)) / 10 AS readings,
    countIf(is_anomaly) AS anomalies, uniqExact(sensor_id) AS active, max(time) AS newest
FROM readings
WHERE time >= fromUnixTimestamp64Milli({now_ms:Int64} - 60000) AND time <= fromUnixTimestamp64Milli({now_ms:Int64})
GROUP BY location, sensor_type
"""
_NEWEST = "SELECT max(time) AS newest FROM readings"
_SLOWLY = """
SELECT
    (SELECT count() FROM data_quality FINAL WHERE kind = 'silent' AND end IS NULL) AS silent,
    (SELECT count() FROM alerts_current WHERE status IN ('open', 'acknowledged')) AS alerts,
    (SELECT max(end) FROM windows
        WHERE start >= fromUnixTimestamp64Milli({now_ms:Int64} - 86400000)) AS closed
"""
_ANOMALIES = f"""
SELECT time, sensor_id, sensor_type, location, value, unit, expected, score, flagged_by, topic, partition, offset
FROM readings FINAL
WHERE is_anomaly AND time >= fromUnixTimestamp64Milli({{now_ms:Int64}} - {{within_ms:Int64}})
    AND stored_at >= now() - {{back_s:UInt32}}
ORDER BY time DESC LIMIT {_NEW}
"""


class Hub:
    """Tells everybody who looks; asks ClickHouse only while somebody does."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._listeners: set[asyncio.Queue[tuple[str, Any] | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def events(self, scope: Scope) -> AsyncIterator[bytes]:
        """What somebody is told, as the protocol wants it, until they go or the server stops."""
        queue: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue(_QUEUED)
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield b"retry: 2000\n\n"
            while not self._ended:
                said = await queue.get()
                if said is None:
                    break
                name, data = said
                told = _anomalies_for(scope, data) if name == "anomalies" else data
                if told:
                    yield f"event: {name}\ndata: {json.dumps(of_scope(scope, name, told))}\n\n".encode()
        finally:
            self._listeners.discard(queue)

    def end(self) -> None:
        """Let all streams end."""
        self._ended = True
        self._tell(None)

    async def _poll(self) -> None:
        """Until nobody listens."""
        news = News(self._reader, self._clock)
        loop = asyncio.get_running_loop()
        while self._listeners and not self._ended:
            began_s = loop.time()
            try:
                self._tell(("anomalies", await run_in_threadpool(news.anomalies)))
                self._tell(("numbers", await run_in_threadpool(news.numbers)))
            except (ClickHouseError, Problem) as error:
                self._tell(("trouble", {"text": str(error)}))
            except Exception:
                # Who looks would wait for ever.
                logger.exception("the stream of what is new")
                self._tell(("trouble", {"text": "what is new could not be read; the console's log says why"}))
            await asyncio.sleep(max(0.1, EVERY_S - (loop.time() - began_s)))

    def _tell(self, said: tuple[str, Any] | None) -> None:
        for queue in list(self._listeners):
            if queue.full():  # who reads too slowly misses the oldest
                queue.get_nowait()
            queue.put_nowait(said)


def _anomalies_for(scope: Scope, rows: list[Row]) -> list[Row]:
    return [
        row
        for row in rows
        if (not scope.locations or row["location"] in scope.locations)
        and (not scope.types or row["sensor_type"] in scope.types)
        and (not scope.sensors or row["sensor_id"] in scope.sensors)
    ]


def of_scope(scope: Scope, name: str, data: Any) -> Any:
    """What is told of a range: numbers are those of the locations and types chosen, summed up."""
    if name != "numbers":
        return data
    groups = [
        one
        for one in data["groups"]
        if (not scope.locations or one["location"] in scope.locations)
        and (not scope.types or one["sensor_type"] in scope.types)
    ]
    told = {key: value for key, value in data.items() if key != "groups"}
    return told | {key: sum(one[key] for one in groups) for key in ("readings", "anomalies", "active")}
