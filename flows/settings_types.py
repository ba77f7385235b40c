"""What fields of the configuration are made of: durations, secrets, bounded numbers, and sections of them."""

import re
from typing import Annotated

import msgspec

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class SettingsError(Exception):
    """The configuration is wrong; the message says which field, which value, what is allowed."""


class Duration(int):
    """A length of time in milliseconds, written as text with its unit: "500ms", "10s", "5m", "1h", "30d"."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read "10s" and the like; ValueError says what is allowed."""
        match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|d)", text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ValueError('expected a duration with its unit, such as "500ms", "10s", "5m", "1h" or "30d"')
        return cls(round(float(match[1]) * _UNITS_MS[match[2]]))

    @property
    def ms(self) -> int:
        """Milliseconds as a plain int."""
        return int(self)

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            if self and self % _UNITS_MS[unit] == 0:
                return f"{self // _UNITS_MS[unit]}{unit}"
        return f"{int(self)}ms"

    __repr__ = __str__


class Secret(str):
    """Text that is never shown: repr hides it, `explain` and logs print "***"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. /-]{0,63}$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every section refuses fields it does not know, so that a typing error is found at start."""
