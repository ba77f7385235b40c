"""What differs between what is wanted and what Grafana holds."""

from collections.abc import Iterator
from typing import Any

_LONGEST = 60


def differences(wanted: Any, there: Any, path: str = "") -> Iterator[str]:
    """One line for each place. What Grafana adds by itself (ids, versions, defaults) is none; lists must be as long."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key, value in wanted.items():
            below = f"{path}.{key}" if path else str(key)
            if key in there:
                yield from differences(value, there[key], below)
            elif value is not None:
                yield f"{below}: missing, wanted {_shown(value)}"
    elif isinstance(wanted, list) and isinstance(there, list):
        if len(wanted) != len(there):
            yield f"{path}: {len(there)} of them, wanted {len(wanted)}"
        for at, (one, other) in enumerate(zip(wanted, there, strict=False)):
            yield from differences(one, other, f"{path}[{_name(one, at)}]")
    elif wanted != there or isinstance(wanted, bool) != isinstance(there, bool):
        yield f"{path}: {_shown(there)}, wanted {_shown(wanted)}"


def _name(one: Any, at: int) -> str:
    """A panel, a rule or a variable by its title or name, anything else by its place."""
    named = one if isinstance(one, dict) else {}
    return str(named.get("title") or named.get("name") or at)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
