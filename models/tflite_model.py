"""A .tflite model, checked and ready: rows in, rows out, whatever the number of rows.

Bits must not depend on how many rows come together, else verdicts would depend on how a stream is cut into batches. So:
the interpreter's kernels are the reference ones ("exact") unless asked otherwise, whose sums have one order, on every
processor of a kind; every call has one of two fixed numbers of rows, the last rows padded; and a trial at start
compares the same rows at other places and in both sizes. A model that fails it, or that cannot have another number of
rows than its own, runs with that.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from models.compiled import compiled
from models.detector import Floats
from models.importing import told
from models.manifest import Manifest, ManifestError

Kernels = Literal["exact", "fast"]

_RESOLVERS = {"exact": OpResolverType.BUILTIN_REF, "fast": OpResolverType.BUILTIN}
_FEW, _MANY = 8, 128
"""Rows a call: 8 cost 1.4 us, 128 about 10 us with the default model; changing the number of rows costs more."""

_LARGEST = float(np.finfo(np.float32).max)
_TYPES = ("float32", "int8", "uint8")


class _Tensor(NamedTuple):
    """An input or output. scale, zero: of integers, real = scale * (integer - zero)."""

    number: int
    dtype: Any
    scale: float
    zero: int

    @property
    def limits(self) -> tuple[float, float]:
        """What the type can hold."""
        if self.dtype == np.float32:
            return -_LARGEST, _LARGEST
        return float(np.iinfo(self.dtype).min), float(np.iinfo(self.dtype).max)


class TFLiteModel:
    """One model, for one thread: an interpreter must not be shared between threads, nor pickled.

    content: the .tflite file. kernels: "exact", see above, or "fast": XNNPACK, several times as fast for large models;
    its scores may differ in their last bits from one kind of processor to another.

    Raises ManifestError when the model is not what the manifest says, or fails on a trial.
    """

    def __init__(self, manifest: Manifest, content: bytes, *, kernels: Kernels = "exact") -> None:
        self._what = f"model {manifest.model} ({manifest.file})"
        self._resolver = _RESOLVERS[kernels]
        self._content = content
        low, high = (0.0, 1.0) if manifest.scaling == "sensor" else (-_LARGEST, _LARGEST)
        self.limits = low, high
        self._width = len(manifest.features)
        own = self._loaded()
        self._in = self._tensor(own, "input")
        self._out = self._tensor(own, "output")
        self._allocate(own)
        self._check_shapes(own, manifest)
        self._few, self._many = self._sizes(own)

    def run(self, rows: Floats) -> Floats:
        """(n, inputs) -> (n, outputs). Numbers outside `limits` are taken as the nearest limit, NaN as the middle.

        Raises RuntimeError when the interpreter fails.
        """
        outputs = np.empty((len(rows), self.outputs))
        first = 0
        while first < len(rows):
            sized = self._few if len(rows) - first <= 4 * self._few.rows else self._many
            self._run(sized, rows, first, outputs)
            first += sized.rows
        return outputs

    def _run(self, sized: "_Sized", rows: Floats, first: int, outputs: Floats) -> None:
        taken, given, interpreter = self._in, self._out, sized.interpreter
        _fill(rows, first, *self.limits, taken.scale, taken.zero, *taken.limits, sized.buffer)
        interpreter.set_tensor(taken.number, sized.buffer)
        interpreter.invoke()
        _take(interpreter.get_tensor(given.number), given.scale, given.zero, first, outputs)

    def _loaded(self) -> Any:
        """An interpreter for as many rows a call as the model was made with, without its memory yet."""
        try:
            return Interpreter(model_content=self._content, experimental_op_resolver_type=self._resolver, num_threads=1)
        except (RuntimeError, ValueError) as error:
            raise self._unusable(error) from None

    def _allocate(self, interpreter: Any) -> None:
        try:
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> ManifestError:
        hint = "is it whole, and made of built-in operators?"
        return ManifestError(f"{self._what}: LiteRT cannot use it: {told(error)}; {hint}")

    def _tensor(self, interpreter: Any, which: Literal["input", "output"]) -> _Tensor:
        found = interpreter.get_input_details() if which == "input" else interpreter.get_output_details()
        if len(found) != 1:
            raise ManifestError(f"{self._what}: has {len(found)} {which}s, must have one")
        dtype, (scale, zero) = np.dtype(found[0]["dtype"]), found[0]["quantization"]
        if dtype.name not in _TYPES:
            raise ManifestError(f"{self._what}: its {which} is {dtype.name}, must be one of {', '.join(_TYPES)}")
        if dtype.name == "float32":
            return _Tensor(found[0]["index"], dtype, 1.0, 0)
        if scale <= 0:
            raise ManifestError(f"{self._what}: its {which} is {dtype.name} without quantization; convert it anew")
        return _Tensor(found[0]["index"], dtype, float(scale), int(zero))

    def _check_shapes(self, own: Any, manifest: Manifest) -> None:
        taken = own.get_input_details()[0]["shape"].tolist()
        if len(taken) != 2 or taken[1] != self._width:
            raise ManifestError(
                f"{self._what}: its input has shape {taken}, must be [rows, {self._width}]: "
                f"the manifest names {self._width} features ({', '.join(manifest.feature_names)})"
            )
        given = own.get_output_details()[0]["shape"].tolist()
        self.outputs = self._width if manifest.output == "reconstruction" else 1
        if given not in ([taken[0], self.outputs], [taken[0]] * (manifest.output == "score")):
            raise ManifestError(
                f"{self._what}: its output has shape {given}, must be [rows, {self.outputs}] for the manifest's "
                f'output = "{manifest.output}"'
            )

    def _sizes(self, own: Any) -> tuple["_Sized", "_Sized"]:
        """Interpreters for few and for many rows; twice the model's own number of rows when it cannot have others."""
        try:
            few, many = (self._resized(rows) for rows in (_FEW, _MANY))
            if self._agree(few, many):
                return few, many
        except (ManifestError, RuntimeError, ValueError):
            pass  # it may still run with its own number of rows
        only = self._sized(own)
        trial = np.full((1, self._width), 0.5)
        try:
            self._run(only, trial, 0, np.empty((1, self.outputs)))
        except (RuntimeError, ValueError) as error:
            raise ManifestError(f"{self._what}: a trial with one row failed: {told(error)}") from None
        return only, only

    def _resized(self, rows: int) -> "_Sized":
        interpreter = self._loaded()
        interpreter.resize_tensor_input(self._in.number, [rows, self._width])
        self._allocate(interpreter)
        return self._sized(interpreter)

    def _sized(self, interpreter: Any) -> "_Sized":
        shape = tuple(interpreter.get_input_details()[0]["shape"].tolist())
        given = interpreter.get_output_details()[0]["shape"].tolist()
        if given[0] != shape[0]:
            raise ValueError("its output has other rows than its input")
        return _Sized(interpreter, shape[0], np.zeros(shape, self._in.dtype))

    def _agree(self, few: "_Sized", many: "_Sized") -> bool:
        """Whether a row's output is the same at every place and in both sizes, to the bit."""
        rows = np.random.default_rng(0).uniform(0, 1, (_MANY, self._width))
        straight, turned, pieces = (np.empty((_MANY, self.outputs)) for _ in range(3))
        self._run(many, rows, 0, straight)
        self._run(many, np.ascontiguousarray(rows[::-1]), 0, turned)
        for first in range(0, _MANY, _FEW):
            self._run(few, rows, first, pieces)
        return np.array_equal(straight, turned[::-1], equal_nan=True) and np.array_equal(
            straight, pieces, equal_nan=True
        )


class _Sized(NamedTuple):
    """An interpreter for a fixed number of rows a call, and what is handed to it."""

    interpreter: Any
    rows: int
    buffer: npt.NDArray[Any]


@compiled
def _fill(
    rows: Floats,
    first: int,
    low: float,
    high: float,
    scale: float,
    zero: int,
    least: float,
    most: float,
    buffer: npt.NDArray[Any],
) -> None:
    """Rows from `first` on, as the model takes them; what follows the last row stays as it was."""
    quantized = scale != 1.0 or zero != 0 or least != -_LARGEST
    for i in range(min(len(buffer), len(rows) - first)):
        for k in range(rows.shape[1]):
            x = rows[first + i, k]
            x = 0.5 * low + 0.5 * high if np.isnan(x) else min(max(x, low), high)
            if quantized:
                x = min(max(np.rint(x / scale) + zero, least), most)
            buffer[i, k] = x


@compiled
def _take(given: npt.NDArray[Any], scale: float, zero: int, first: int, outputs: Floats) -> None:
    """What the model gave for the rows from `first` on, as real numbers."""
    flat = given.ravel()
    width = outputs.shape[1]
    for i in range(min(len(flat) // width, len(outputs) - first)):
        for k in range(width):
            outputs[first + i, k] = scale * (flat[i * width + k] - zero)
