"""The recovery store: made on first use, with what it was made for written beside it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.parts import WINDOW_SHARDS
from flows.settings import Settings, SettingsError

STORE_PARTITIONS = 4
"""Files the store consists of; fixed when it is made, and at least the number of processes that can use it."""

_LAYOUT_FILE = "layout.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """What state in a store depends on and cannot be changed while it is kept."""

    flow: str
    format: int
    shards_per_partition: int
    window_shards: int

    @classmethod
    def of(cls, flow: str, settings: Settings) -> "Layout":
        """What this configuration needs. flow: a name, or the path of a file, wherever it is seen from."""
        return cls(Path(flow).stem, 1, settings.event_time.shards_per_partition, WINDOW_SHARDS)


def open_store(directory: Path, layout: Layout) -> RecoveryConfig:
    """The store in a directory, made when it is not there.

    Raises SettingsError when it was made for another layout.
    """
    if read_layout(directory, layout) is None:
        directory.mkdir(parents=True, exist_ok=True)
        init_db_dir(directory, STORE_PARTITIONS)
        (directory / _LAYOUT_FILE).write_text(json.dumps(asdict(layout), indent=2) + "\n")
    return RecoveryConfig(directory)


def read_layout(directory: Path, layout: Layout) -> Layout | None:
    """The layout of the store in a directory; None when there is no store yet.

    Raises SettingsError when the directory holds something else, or a store made for another layout.
    """
    file = directory / _LAYOUT_FILE
    if not file.exists():
        if directory.exists() and any(directory.iterdir()):
            raise SettingsError(
                f"worker.recovery_dir = '{directory}': holds files but no {_LAYOUT_FILE}: no recovery store; "
                "name an empty directory"
            )
        return None
    try:
        stored = Layout(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{file}: cannot be read ({error}); restore it, or start from a new directory") from None
    for name, was in asdict(stored).items():
        now = asdict(layout)[name]
        if was != now:
            raise SettingsError(
                f"the recovery store in '{directory}' was made with {name} = {was}, the configuration says {now}: "
                "set it back, or name a new worker.recovery_dir and start from kafka.start"
            )
    return stored
