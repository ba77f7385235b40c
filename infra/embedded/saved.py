"""What of its topics the embedded broker has on disk by now.

It writes all it holds into one file about once a second while that changes, under another name first, and says to
nobody when it has; so the file itself is asked. What `highs` has told survives `kill -9` and a pulled plug.
"""

import mmap
import os
import re
from pathlib import Path

from infra.embedded.process import ChildFailed

_FILE = "kafka.json"
_PARTITION = re.compile(rb'\{"id":(\d+),')
_HIGH = re.compile(rb'"high_watermark":(\d+)')
_END = b'"configs":'


class Saved:
    """data_dir: of the broker. For one thread."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / _FILE
        self._seen: tuple[int, int] | None = None

    def highs(self, topic: str) -> dict[int, int] | None:
        """Of each partition, the offset up to which all is on disk; None when nothing was written since last asked.

        Raises ChildFailed when this is not the broker's way of writing any more.
        """
        try:
            with self._file.open("rb") as file:
                state = os.fstat(file.fileno())
                if self._seen == (state.st_ino, state.st_mtime_ns) or not state.st_size:
                    return None
                os.fsync(file.fileno())  # the broker leaves that to the system
                self._sync_name()
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                    found = _highs(text, topic)
        except FileNotFoundError:
            return None
        self._seen = state.st_ino, state.st_mtime_ns
        return found

    def _sync_name(self) -> None:
        """The new file has the old one's name, for good."""
        directory = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _highs(text: mmap.mmap, topic: str) -> dict[int, int]:
    begin = text.find(b'["%s",{' % topic.encode())
    if begin < 0:
        return {}
    # Messages are between them, encoded so that they hold no quotation marks.
    end = text.find(_END, begin)
    found: dict[int, int] = {}
    at = begin
    while (partition := _PARTITION.search(text, at, end)) and (high := _HIGH.search(text, partition.end(), end)):
        found[int(partition[1])] = int(high[1])
        at = high.end()
    if not found:
        raise ChildFailed("the embedded broker's file is not as this release of streamgauge knows it: noida-db 0.2.3")
    return found
