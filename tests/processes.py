"""Whether processes that are not our children still run."""

import subprocess
import time


def running(pid: int) -> bool:
    """Whether the process lives; a zombie nobody has reaped yet does not."""
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(stat) and not stat.startswith("Z")


def ends(pid: int, *, within_s: float = 10.0) -> bool:
    """Wait for the end of a process."""
    deadline = time.monotonic() + within_s
    while running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
