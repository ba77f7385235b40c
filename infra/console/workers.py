"""What workers tell of themselves at /metrics: looked at every few seconds, the last half hour kept."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from infra.console.reader import Clock

EVERY_S = 5.0

_KEPT = 360
_TIMEOUT_S = 2.0
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One process of a worker at one moment. Rates are those since the look before; NaN while unknown.

    process: its number in a cluster, "" alone. trouble: why it could not be looked at; then the rest is NaN.
    cpu: processors in use. lag: messages not read yet. watermark_delay_s: of the partition that is furthest behind.
    epoch_age_s: since an epoch was last complete.
    """

    address: str
    process: str
    time_ms: int
    trouble: str = ""
    readings: float = math.nan
    readings_total: float = math.nan
    cpu: float = math.nan
    cpu_total_s: float = math.nan
    memory_bytes: float = math.nan
    lag: float = math.nan
    watermark_delay_s: float = math.nan
    epoch_age_s: float = math.nan
    state_bytes: float = math.nan
    sensors: float = math.nan
    buffered_bytes: float = math.nan


class Workers:
    """addresses: "host:port" each. Use it in `with`: then a thread looks at them."""

    def __init__(self, addresses: Sequence[str], clock: Clock) -> None:
        self.addresses = tuple(addresses)
        self._clock = clock
        self._looks: deque[list[Look]] = deque(maxlen=_KEPT)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Workers":
        if self.addresses:
            self._thread = threading.Thread(target=self._go_on, name="workers", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def newest(self) -> list[Look]:
        """Of each process, as last looked at."""
        return self._looks[-1] if self._looks else []

    def course(self) -> list[Look]:
        """All that is kept, oldest first."""
        return list(chain.from_iterable(list(self._looks)))

    def look(self) -> None:
        """Look at all of them now."""
        before = {(one.address, one.process): one for one in self.newest()}
        self._looks.append([look for address in self.addresses for look in self._at(address, before)])

    def _go_on(self) -> None:
        while True:
            began_s = time.monotonic()
            self.look()
            if self._stop.wait(max(0.5, EVERY_S - (time.monotonic() - began_s))):
                return

    def _at(self, address: str, before: dict[tuple[str, str], Look]) -> Iterator[Look]:
        now_ms = self._clock()
        try:
            with urlopen(f"http://{address}/metrics", timeout=_TIMEOUT_S) as page:
                found = _by_process(page.read(_MOST_BYTES).decode())
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            yield Look(address=address, process="", time_ms=now_ms, trouble=f"does not answer: {reason}")
            return
        for process, values in found.items():
            yield _look(address, process, now_ms, values, before.get((address, process)))


_SUMS = {
    "streamgauge_readings_total": "readings_total",
    "streamgauge_source_lag_messages": "lag",
    "streamgauge_state_bytes": "state_bytes",
    "streamgauge_sensors": "sensors",
    "streamgauge_buffered_bytes": "buffered_bytes",
    "process_resident_memory_bytes": "memory_bytes",
    "process_cpu_seconds_total": "cpu_total_s",
}
_LARGEST = {"streamgauge_watermark_delay_seconds": "watermark_delay_s"}
_MOMENT = "streamgauge_epoch_completed_timestamp_seconds"


def _by_process(text: str) -> dict[str, dict[str, float]]:
    """The sums and maxima of each process. Raises ValueError for what is no such page."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            process = sample.labels.get("process", "")
            if process == "supervisor" or math.isnan(sample.value):
                continue
            of = found.setdefault(process, {})
            if sample.name in _SUMS:
                name = _SUMS[sample.name]
                of[name] = of.get(name, 0.0) + sample.value
            elif sample.name in _LARGEST:
                name = _LARGEST[sample.name]
                of[name] = max(of.get(name, -math.inf), sample.value)
            elif sample.name == _MOMENT:
                of["epoch"] = sample.value
    return found


def _look(address: str, process: str, now_ms: int, values: dict[str, float], before: Look | None) -> Look:
    epoch_s = values.pop("epoch", 0.0)
    age_s = max(0.0, now_ms / 1_000 - epoch_s) if epoch_s else math.nan
    look = Look(address=address, process=process, time_ms=now_ms, epoch_age_s=age_s, **values)  # type: ignore[arg-type]
    if before is None or math.isnan(before.cpu_total_s) or now_ms <= before.time_ms:
        return look
    passed_s = (now_ms - before.time_ms) / 1_000
    readings = (look.readings_total - before.readings_total) / passed_s
    cpu = (look.cpu_total_s - before.cpu_total_s) / passed_s
    if readings < 0 or cpu < 0:  # it was started again
        return look
    return Look(
        address=address,
        process=process,
        time_ms=now_ms,
        epoch_age_s=age_s,
        readings=readings,
        cpu=cpu,
        **values,  # type: ignore[arg-type]
    )
