"""What pages of documentation hold, and running it as a reader would."""

import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from flows.cli import app
from flows.commands.common import peoples_error
from infra.embedded.process import ChildProcess
from tests.flows.commands import ARGV
from tests.kafka import eventually

ROOT = Path(__file__).parents[2]
_QUICK = ("alerts", "check", "db", "deadletters", "explain", "plan", "query", "state")
"""Commands that leave the process as it was: they need not be started for each."""
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `streamgauge ...`: in fenced blocks, where it begins a line, and in spans of code."""
    fenced = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        for line in block.splitlines():
            for part in re.split(r"[|;]|&&", line.strip().removeprefix("$ ")):
                if part.strip().startswith("streamgauge "):
                    yield _words(part)
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", fenced.sub("", text)):
        if span.startswith("streamgauge "):
            yield _words(span)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = command.split()
    return [word for word in words[1:] if word not in ("&", "...")]


class Reader:
    """Types the commands of pages in one directory; what they put into the background is ended at last."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._background: list[ChildProcess] = []

    def type(self, line: str) -> str:
        """Run a line to its end, or until it says that it runs when it ends with &; what it has said."""
        program, *arguments = shlex.split(line, comments=True)
        assert program == "streamgauge", line
        if arguments[-1] == "&":
            return self._start(arguments[:-1])
        return self.run(*(path for word in arguments for path in self._expanded(word)))

    def run(self, *words: str) -> str:
        """A command to its end; what it has said."""
        line = shlex.join(words)
        if words[0] in _QUICK:
            result = CliRunner().invoke(app, list(words))
            assert result.exit_code == 0, f"{line}:\n{result.output}\n{peoples_error(result.exception or Exception())}"
            return result.output
        run = subprocess.run(
            [*ARGV, *words], env=_ENVIRONMENT, capture_output=True, text=True, timeout=180, check=False
        )
        assert run.returncode == 0, f"{line}:\n{run.stdout}\n{run.stderr}"
        return run.stdout + run.stderr

    def end(self) -> None:
        """Stop what runs."""
        while self._background:
            self._background.pop().stop()

    def _start(self, arguments: list[str]) -> str:
        log = self._home / f"{arguments[0]}-{uuid.uuid4().hex[:6]}.log"
        process = ChildProcess("streamgauge", [*ARGV, *arguments], log=log, stop_timeout_s=60)
        process.start()
        self._background.append(process)
        assert eventually(lambda: "Ctrl-C" in log.read_text(), within_s=60), log.read_text()
        return log.read_text()

    def _expanded(self, word: str) -> list[str]:
        return sorted(str(path) for path in self._home.glob(word)) if "*." in word and "/" in word else [word]
