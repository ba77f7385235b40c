"""Decoded readings to columns: the part of decoding that is paid for every reading."""

from array import array
from typing import cast

import numpy as np

from operators.batches import NO_SEQ, Codes, Floats, Ints, Labels
from operators.decode_arrow import ArrowColumns
from operators.records import Reading
from operators.rejects import Fault
from operators.series_codes import SeriesCodes
from operators.timestamps import to_ms


class _Numbers(dict[str, int]):
    """Texts numbered as they are first seen."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, len(self))


class ReadingColumns:
    """Growing columns of readings; `faults` holds what is wrong with single rows, by row."""

    def __init__(self, codes: SeriesCodes) -> None:
        self._codes = codes
        self._code, self._time, self._value = array("i"), array("q"), array("d")
        # Rarely sent: empty until the first row that has one, then as long as needed.
        self._seq = array("q")
        self._attributes: list[str] = []
        self._label = array("i")
        self._labels = _Numbers({"": 0})
        self.faults: dict[int, Fault] = {}

    def __len__(self) -> int:
        return len(self._time)

    def add(self, readings: list[Reading]) -> None:
        """Append one row per reading."""
        first = len(self)
        # Comprehensions: the interpreter's specialised attribute access beats attrgetter on these objects.
        self._code.fromlist(self._codes.of(readings))
        self._value.fromlist([r.value for r in readings])
        stamps = [r.timestamp for r in readings]
        try:
            self._time.fromlist(cast(list[int], stamps))
        except (TypeError, OverflowError):
            time_ms, faults = to_ms(stamps)
            self._time.frombytes(time_ms.tobytes())
            self.faults.update((first + i, fault) for i, fault in faults.items())
        if [0 for r in readings if r.seq is not None or r.label or r.attributes]:
            self._add_rare(readings, first)

    def add_arrow(self, columns: ArrowColumns) -> None:
        """Append the rows of an Arrow message."""
        first = len(self)
        self._code.frombytes(columns.code.tobytes())
        self._time.frombytes(columns.time_ms.tobytes())
        self._value.frombytes(columns.value.tobytes())
        self.faults.update((first + row, fault) for row, fault in columns.faults.items())
        if columns.seq is not None:
            self._seq.extend([NO_SEQ] * (first - len(self._seq)))
            self._seq.frombytes(columns.seq.tobytes())
        if columns.label is not None:
            self._label.extend([0] * (first - len(self._label)))
            codes = np.array([self._labels[text] for text in columns.label.values], np.int32)
            self._label.frombytes(codes[columns.label.codes].tobytes())
        if columns.attributes is not None:
            self._attributes.extend([""] * (first - len(self._attributes)))
            self._attributes.extend(columns.attributes)

    def _add_rare(self, readings: list[Reading], first: int) -> None:
        if any(r.seq is not None for r in readings):
            self._seq.extend([NO_SEQ] * (first - len(self._seq)))
            self._add_seq([NO_SEQ if r.seq is None else r.seq for r in readings], first)
        if any(r.label for r in readings):
            self._label.extend([0] * (first - len(self._label)))
            self._label.fromlist([self._labels[r.label] for r in readings])
        if any(r.attributes for r in readings):
            self._attributes.extend([""] * (first - len(self._attributes)))
            self._add_attributes([bytes(r.attributes) for r in readings], first)

    def _add_seq(self, numbers: list[int], first: int) -> None:
        for row, number in enumerate(numbers, first):
            if not -(2**63) <= number < 2**63:
                self.faults.setdefault(row, Fault("wrong_type", f"seq: {number} does not fit 64 bits"))
                numbers[row - first] = NO_SEQ
        self._seq.fromlist(numbers)

    def _add_attributes(self, raws: list[bytes], first: int) -> None:
        for row, raw in enumerate(raws, first):
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                detail = f"attributes: not UTF-8 text: byte 0x{raw[error.start]:02x} at position {error.start}"
                self.faults.setdefault(row, Fault("not_utf8", detail))
                text = ""
            if text == "null":
                text = ""
            if text and text[0] != "{":
                self.faults.setdefault(row, Fault("wrong_type", "attributes: expected `object`"))
            self._attributes.append(text)

    @property
    def code(self) -> Codes:
        """(n,) numbers of completed series, below 0 where the type is refused."""
        return np.frombuffer(self._code, np.int32)

    @property
    def time_ms(self) -> Ints:
        """(n,) event times, epoch milliseconds."""
        return np.frombuffer(self._time, np.int64)

    @property
    def value(self) -> Floats:
        """(n,) values."""
        return np.frombuffer(self._value, np.float64)

    @property
    def seq(self) -> Ints | None:
        """(n,) running numbers, NO_SEQ where missing; None when no row has one."""
        missing = np.full(len(self) - len(self._seq), NO_SEQ, np.int64)
        return np.concatenate([np.frombuffer(self._seq, np.int64), missing]) if self._seq else None

    @property
    def attributes(self) -> list[str] | None:
        """JSON text per row; None when no row has any."""
        return self._attributes + [""] * (len(self) - len(self._attributes)) if self._attributes else None

    @property
    def label(self) -> Labels | None:
        """Ground truth; None when no row has one."""
        if not self._label:
            return None
        missing = np.zeros(len(self) - len(self._label), np.int32)
        return Labels(np.concatenate([np.frombuffer(self._label, np.int32), missing]), list(self._labels))
