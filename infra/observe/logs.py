"""What a process says of its work: lines or JSON, in a file that does not grow for ever; no floods, no secrets."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from typing_extensions import override

from infra.observe.metrics import LOG_MESSAGES

MINUTE_S = 60.0
_TEXT = "%(asctime)s %(levelname)s %(message)s"
_SHORTEST_SECRET = 4
"""Below this a password is found in ordinary words."""


def configure(
    *,
    form: Literal["text", "json"] = "text",
    file: str = "",
    max_bytes: int = 10_000_000,
    backups: int = 5,
    repeats: int = 10,
    secrets: Sequence[str] = (),
    process: int | str | None = None,
) -> None:
    """Set the logging of this process up, on stderr and, if named, in a file. Raises OSError when it cannot be written.

    process: number or name of this one among several; two must not put one file away.
    secrets: texts that are never written, wherever they come from.
    """
    formatter = _Json(secrets, process) if form == "json" else _Text(secrets)
    targets: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file:
        path = of_process(Path(file), process)
        path.parent.mkdir(parents=True, exist_ok=True)
        targets.append(RotatingFileHandler(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8"))
    for target in targets:
        target.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[Sparing(targets, repeats=repeats)], force=True)


def of_process(file: Path, process: int | str | None) -> Path:
    """logs/flow.log of process 2 is logs/flow-2.log."""
    return file if process is None else file.with_name(f"{file.stem}-{process}{file.suffix}")


@dataclass(slots=True)
class _Said:
    until_s: float
    times: int
    record: logging.LogRecord


class Sparing(logging.Handler):
    """Hands messages on to its targets, each `repeats` times a minute; what came more often is counted, and said.

    Messages are the same when they come from the same line of code, whatever values they hold.
    """

    def __init__(
        self, targets: Sequence[logging.Handler], *, repeats: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._targets = targets
        self._repeats = repeats
        self._clock_s = clock_s
        self._said: dict[tuple[str, int], _Said] = {}
        self._closing = threading.Event()
        threading.Thread(target=self._tell_in_time, name="log", daemon=True).start()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        LOG_MESSAGES.labels(record.levelname.lower()).inc()
        self.tell()
        now_s = self._clock_s()
        said = self._said.setdefault((record.pathname, record.lineno), _Said(now_s + MINUTE_S, 0, record))
        said.times += 1
        if said.times <= self._repeats:
            self._hand_on(record)

    def tell(self, *, all_: bool = False) -> None:
        """Say how often what was suppressed came, if its minute (or all) is over."""
        self.acquire()
        try:
            now_s = self._clock_s()
            for where in [where for where, said in self._said.items() if all_ or said.until_s <= now_s]:
                said = self._said.pop(where)
                if said.times > self._repeats:
                    self._hand_on(_counted(said.record, said.times - self._repeats))
        finally:
            self.release()

    @override
    def flush(self) -> None:
        for target in self._targets:
            target.flush()

    @override
    def close(self) -> None:
        self._closing.set()
        self.tell(all_=True)
        for target in self._targets:
            target.close()
        super().close()

    def _hand_on(self, record: logging.LogRecord) -> None:
        for target in self._targets:
            target.handle(record)

    def _tell_in_time(self) -> None:
        while not self._closing.wait(MINUTE_S):
            self.tell()


def _counted(record: logging.LogRecord, times: int) -> logging.LogRecord:
    """That a message came so often more, said now."""
    text = f"{times} more of these within a minute: {record.getMessage()}"
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, text, (), None)


class _Text(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(_TEXT)
        self._secrets = secrets

    @override
    def format(self, record: logging.LogRecord) -> str:
        return without(self._secrets, super().format(record))


class _Json(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message; process and trace where there is one."""

    def __init__(self, secrets: Sequence[str], process: int | str | None) -> None:
        super().__init__()
        self._secrets = secrets
        self._process = {} if process is None else {"process": process}

    @override
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without(self._secrets, record.getMessage()),
        }
        if record.exc_info:
            told["trace"] = without(self._secrets, self.formatException(record.exc_info))
        return json.dumps(told | self._process, ensure_ascii=False)


def without(secrets: Sequence[str], text: str) -> str:
    """The text with *** for every secret of four characters or more."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text
