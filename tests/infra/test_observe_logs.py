"""Logs: form, rotation, floods, secrets."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from infra.observe.logs import MINUTE_S, Sparing, of_process

SCRIPT = """
import json, logging, sys
from infra.observe import logs
logs.configure(**json.loads(sys.argv[1]))
logger = logging.getLogger("made.up")
for number in range(int(sys.argv[2])):
    logger.warning("number %d of %s", number, "secret-word")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("it broke")
"""


def say(times: int, **options: Any) -> list[str]:
    """The lines on stderr of a process that says one thing so often, and then that it broke."""
    words = [sys.executable, "-c", SCRIPT, json.dumps(options), str(times)]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    return run.stderr.splitlines()


def test_json_lines_hold_time_level_logger_message_trace_and_process() -> None:
    first, last = map(json.loads, say(1, form="json", process=3))
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "warning", "logger": "made.up", "message": "number 0 of secret-word", "process": 3}
    assert "ZeroDivisionError" in last["trace"]


def test_repetitions_are_counted_and_the_count_is_said_at_the_end() -> None:
    lines = say(50, repeats=3)
    assert [line.split("WARNING ")[1] for line in lines if "WARNING" in line] == [
        *(f"number {number} of secret-word" for number in range(3)),
        "47 more of these within a minute: number 0 of secret-word",
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_never_written(form: str) -> None:
    lines = say(1, form=form, secrets=["secret-word", "", "o"])
    assert "number 0 of ***" in lines[0]
    assert "secret-word" not in "".join(lines)


def test_files_are_put_away_by_size_and_a_few_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "flow.log"
    say(200, repeats=1_000, file=str(file), max_bytes=2_000, backups=2)
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["flow.log", "flow.log.1", "flow.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in file.parent.iterdir())


def test_each_process_of_a_cluster_has_a_file_of_its_own() -> None:
    assert of_process(Path("logs/flow.log"), 2) == Path("logs/flow-2.log")
    assert of_process(Path("logs/flow.log"), None) == Path("logs/flow.log")


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_a_new_minute_begins_anew_and_says_what_was_left_out() -> None:
    now_s = 0.0
    kept = _Kept()
    sparing = Sparing([kept], repeats=1, clock_s=lambda: now_s)

    def say_here(text: str) -> None:
        sparing.handle(logging.LogRecord("x", logging.INFO, __file__, 1, text, (), None))

    for word in ("one", "two", "three"):
        say_here(word)
    now_s = MINUTE_S
    say_here("four")
    sparing.close()
    assert kept.lines == ["one", "2 more of these within a minute: one", "four"]
