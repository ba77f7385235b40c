"""Spans for an OpenTelemetry collector, when one is named; else OpenTelemetry is not even imported.

A trace is one epoch of one process. In it lie a span per source batch (poll and decode), per step and key, per snapshot
of a key and per insert: each that took 100 ms, and of the quicker ones one a second and name (failed ones by
themselves), so that little is sent at any speed. OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_HEADERS and so on)
hold as in any program.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from typing_extensions import override

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Span

_SLOW_NS = 100_000_000
_SELDOM_NS = 1_000_000_000
_QUEUED_SPANS = 2_048
"""More are dropped."""
_EXPORT_EVERY_MS = 2_000
_EXPORT_TIMEOUT_S = 2.0
_CLOSE_S = 3.0

Attributes = Mapping[str, str | int | float]
Kind = Literal["internal", "client", "consumer"]

logger = logging.getLogger(__name__)


class TracesUnavailable(Exception):
    """OpenTelemetry is not installed; the message says what to do."""


class Traces:
    """Tells the collector at `url` while in `with`; then `ACTIVE` is this.

    url: of the collector, without /v1/traces. resource: attributes of this process.
    Raises TracesUnavailable.
    """

    def __init__(self, url: str, resource: Attributes) -> None:
        try:
            self._api = import_module("opentelemetry.trace")
            self._provider = _provider(f"{url.rstrip('/')}/v1/traces", resource)
        except ImportError as error:
            raise TracesUnavailable(f"{error.name} is not installed: pip install 'streamgauge[otel]'") from None
        self._tracer = self._provider.get_tracer("streamgauge")
        self._told_ns: dict[tuple[str, bool], int] = {}
        self._closing_ns: int | None = None
        self._begin_epoch()

    def __enter__(self) -> Self:
        global ACTIVE
        ACTIVE = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global ACTIVE
        ACTIVE = None
        self._epoch.end()
        # A collector that does not answer must not hold the end back.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    @contextmanager
    def around(
        self, timer: AbstractContextManager[Any], name: str, attributes: Attributes, kind: Kind = "internal"
    ) -> Iterator[None]:
        """Within a timer of Prometheus, and as a span. `attributes` are read at the end."""
        began_ns = time.monotonic_ns()
        try:
            with timer:
                yield
        except BaseException as error:
            self.ended(name, began_ns, attributes, kind, failure=str(error))
            raise
        self.ended(name, began_ns, attributes, kind)

    def ended(
        self, name: str, began_ns: int, attributes: Attributes, kind: Kind = "internal", *, failure: str = ""
    ) -> None:
        """Something that began at that time of `time.monotonic_ns` has ended now: send it, or not."""
        now_ns = time.monotonic_ns()
        seldom = now_ns - self._told_ns.get((name, bool(failure)), -_SELDOM_NS) >= _SELDOM_NS
        if now_ns - began_ns < _SLOW_NS and not seldom:
            return
        self._told_ns[name, bool(failure)] = now_ns
        span = self._tracer.start_span(
            name,
            self._context,
            kind=self._api.SpanKind[kind.upper()],
            attributes=attributes,
            start_time=began_ns + self._offset_ns,
        )
        if failure:
            span.set_status(self._api.StatusCode.ERROR, failure)
        span.end(now_ns + self._offset_ns)

    def epoch_closes(self) -> None:
        """A partition's snapshot was taken; the first one of an epoch counts."""
        self._closing_ns = self._closing_ns or time.monotonic_ns()

    def epoch_begins(self) -> None:
        """A partition is read on; the first time after a snapshot, its epoch is complete."""
        if self._closing_ns is not None:
            self.ended("close epoch", self._closing_ns, {})
            self._closing_ns = None
            self._epoch.end()
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        # Durations come from a clock that nobody sets, anchored anew now and then.
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._epoch: Span = self._tracer.start_span("epoch")
        self._context = self._api.set_span_in_context(self._epoch)


ACTIVE: Traces | None = None
"""What watches give their spans to; None: nobody wants any."""


def _provider(endpoint: str, resource: Attributes) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    said = _Said()

    class Told(SpanExporter):
        """An exporter that says once that its collector is away, and once that it is back."""

        def __init__(self) -> None:
            self._exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_TIMEOUT_S)
            self._away = False

        @override
        def export(self, spans: Sequence["ReadableSpan"]) -> SpanExportResult:
            result = self._exporter.export(spans)
            away = result is not SpanExportResult.SUCCESS
            if away and not self._away:
                logger.warning("%s takes no traces, they are dropped until it does: %s", endpoint, said.last)
            elif self._away and not away:
                logger.info("%s takes traces again", endpoint)
            self._away = away
            return result

        @override
        def shutdown(self) -> None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    provider = TracerProvider(resource=Resource.create(dict(resource)), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(Told(), max_queue_size=_QUEUED_SPANS, schedule_delay_millis=_EXPORT_EVERY_MS)
    )
    return provider


class _Said(logging.Handler):
    """Keeps the last thing OpenTelemetry had to say, which would say it every few seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        library = logging.getLogger("opentelemetry")
        library.propagate = False
        library.handlers = [self]

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()[:300]
