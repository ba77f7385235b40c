"""Cells of files as times, numbers and texts: nothing is guessed silently, what does not fit raises ValueError."""

import math
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal

Cell = object
"""str from CSV; any JSON value; str, int, float, bool, Decimal, date, datetime or None from Parquet."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def is_empty(cell: Cell) -> bool:
    """Whether nothing was written there."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def number(cell: Cell) -> float:
    """A finite number. Raises ValueError; truth values and digits with underscores are no numbers."""
    value = _float(cell)
    if value is None:
        raise ValueError(f"{_shown(cell)} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{_shown(cell)} is not a finite number")
    return value


def epoch_ms(cell: Cell, zone: tzinfo) -> int:
    """A time as epoch milliseconds; finer digits are cut off. `zone` is for times that say none.

    ISO 8601 and RFC 3339 text, dates and times of Parquet, and numbers: seconds, or milli-, micro- or nanoseconds by
    their size. Raises ValueError.
    """
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime.combine(cell, time())
    elif isinstance(cell, str) and "-" in cell[1:]:
        # Only with dashes: fromisoformat would take some epoch numbers for dates of the Middle Ages.
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise ValueError(f"{_shown(cell)} is not a time (such as 2026-01-31T12:00:00Z)") from None
    else:
        return _number_ms(cell)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _MILLISECOND


def text(cell: Cell) -> str:
    """A label; '' for an empty cell."""
    return "" if cell is None else str(cell).strip()


def ground_truth(cell: Cell) -> str:
    """A label column's cell: 0 is "normal", 1 is "anomaly", text stays as it is."""
    if isinstance(cell, bool):
        return "anomaly" if cell else "normal"
    value = _float(cell)
    return {0.0: "normal", 1.0: "anomaly"}.get(value, text(cell)) if value is not None else text(cell)


def _float(cell: Cell) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str, Decimal)):
        return None
    if isinstance(cell, str) and "_" in cell:
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def _number_ms(cell: Cell) -> int:
    value = _float(cell)
    if value is None or not abs(value) < 1e20:
        raise ValueError(f"{_shown(cell)} is not a time (such as 2026-01-31T12:00:00Z, or epoch seconds)")
    # Integers are not sent through a float: nanoseconds would lose their last digits.
    exact = Decimal(str(cell).strip())
    if abs(value) < 1e11:
        return math.floor(exact * 1000)
    if abs(value) < 1e14:
        return math.floor(exact)
    return math.floor(exact / (1000 if abs(value) < 1e17 else 1_000_000))


def _shown(cell: Cell) -> str:
    shown = repr(cell)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
