"""The metrics of several processes as one page: each process writes its own into a file, one of them reads all.

A file, and not a socket to ask each process through, because a scrape must not wait for a process that is stopped or
busy, and the last words of one that died are still to be read.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from typing_extensions import override

from infra.observe.metrics import exposition

EVERY_S = 2.0
"""How old what is read may be."""

_SUFFIX = ".prom"


def merge(pages: Mapping[int, bytes] | Mapping[str, bytes]) -> bytes:
    """Expositions by process number or name as one, with a label `process` on every sample."""
    registry = CollectorRegistry()
    registry.register(_Merged(pages))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, pages: Mapping[int, bytes] | Mapping[str, bytes]) -> None:
        self._pages = {str(process): page for process, page in pages.items()}

    @override
    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for process, page in sorted(self._pages.items()):
            for family in text_string_to_metric_families(page.decode()):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    merged.add_sample(sample.name, sample.labels | {"process": process}, sample.value)
        return families.values()


@contextmanager
def published(directory: Path, process: int | str) -> Iterator[None]:
    """Write this process's metrics into the directory, every two seconds and at the end, while in the block."""
    file = directory / f"{process}{_SUFFIX}"
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(EVERY_S):
            _write(file)

    _write(file)
    thread = threading.Thread(target=go_on, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _write(file)


def pages(directory: Path) -> dict[str, bytes]:
    """What all processes have published there last, by their numbers or names."""
    found = {}
    for file in directory.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            found[file.stem] = file.read_bytes()
    return found


def _write(file: Path) -> None:
    # Whole or not at all. A directory that is gone, or full, is no reason to stop working.
    with suppress(OSError):
        new = file.with_suffix(".new")
        new.write_bytes(exposition())
        os.replace(new, file)
