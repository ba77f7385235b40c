"""What Linux tells of a process."""

import os
from pathlib import Path


def written_bytes(pid: int) -> int:
    """What it has written to files so far, by the pages it dirtied; sockets and pipes are not in it.

    0 where the files are in memory (tmpfs).
    """
    return _field(pid, "io", "write_bytes")


def resident_bytes(pid: int) -> int:
    """Memory it holds now."""
    return _field(pid, "status", "VmRSS") * 1024


def peak_bytes(pid: int) -> int:
    """Most memory it has held."""
    return _field(pid, "status", "VmHWM") * 1024


def open_files(pid: int) -> int:
    """Its file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def size_of(directory: Path) -> int:
    """Bytes of the files in a directory."""
    return sum(file.stat().st_size for file in directory.iterdir() if file.is_file())


def _field(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        label, _, rest = line.partition(":")
        if label == name:
            return int(rest.split()[0])
    raise ProcessLookupError(f"process {pid} has ended")  # a zombie's page lacks what it has no more
