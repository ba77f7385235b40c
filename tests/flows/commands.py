"""Running the command as a user does."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.embedded.process import ChildProcess

ARGV = [sys.executable, "-m", "flows.cli"]
ROOT = Path(__file__).parents[2]


def streamgauge(
    *arguments: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """`streamgauge ARGUMENTS`, to its end. env: more of the environment."""
    return subprocess.run(
        [*ARGV, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def started(*arguments: str, env: Mapping[str, str], log: Path) -> ChildProcess:
    """`streamgauge ARGUMENTS`, running; stop it."""
    process = ChildProcess("streamgauge", [*ARGV, *arguments], log=log, env=env, stop_timeout_s=60)
    process.start()
    return process


def processes_in(directory: Path) -> list[str]:
    """Running processes with the directory among their arguments or in their environment."""
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if str(directory) in line and line.split()[1][0] != "Z"]
