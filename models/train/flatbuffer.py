"""Writing dense networks as .tflite files, without TensorFlow.

The format is a flatbuffer; ai_edge_litert ships the classes generated from its schema. Only FULLY_CONNECTED with a
fused ReLU is used: version 1 of the operator for float32, version 4 for int8, which interpreters since TensorFlow Lite
1.15 run, among them every tflite-runtime.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Float32s = npt.NDArray[np.float32]

_FORMAT = 3
_FLOAT32_VERSION, _INT8_VERSION = 1, 4


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(weights @ x + bias). weights: (outputs, inputs); bias: (outputs,); relu: whether below 0 becomes 0."""

    weights: Float32s
    bias: Float32s
    relu: bool


class Scale(NamedTuple):
    """Of an int8 tensor: real = scale * (integer - zero)."""

    scale: float
    zero: int


def float32_model(layers: Sequence[Layer], description: str) -> bytes:
    """A .tflite file with one float32 input and output, of any number of rows."""
    return _Writer(description).model([_Dense(layer.weights, layer.bias, layer.relu) for layer in layers])


def int8_model(layers: Sequence[Layer], scales: Sequence[Scale], description: str) -> bytes:
    """The same with int8 weights, one scale a layer, int32 biases, and int8 in between.

    scales: of the input and of each layer's output.
    """
    dense = []
    for layer, before, after in zip(layers, scales[:-1], scales[1:], strict=True):
        scale = float(np.float32(max(float(np.abs(layer.weights).max()), 1e-9) / 127))
        weights = np.clip(np.rint(layer.weights / scale), -127, 127).astype(np.int8)
        bias = np.rint(layer.bias.astype(np.float64) / (scale * before.scale)).astype(np.int32)
        dense.append(_Dense(weights, bias, layer.relu, Scale(scale, 0), Scale(scale * before.scale, 0), after))
    return _Writer(description).model(dense, scales[0])


class _Dense(NamedTuple):
    """A layer as it is stored; with scales when it is quantized."""

    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any]
    relu: bool
    weight_scale: Scale | None = None
    bias_scale: Scale | None = None
    output_scale: Scale | None = None


class _Writer:
    """One model."""

    def __init__(self, description: str) -> None:
        self._graph = schema.SubGraphT(name="main", tensors=[], operators=[])
        # The first buffer is empty by convention: tensors that hold no data name it.
        self._model = schema.ModelT(
            version=_FORMAT, description=description, buffers=[schema.BufferT()], subgraphs=[self._graph]
        )

    def model(self, layers: Sequence[_Dense], input_scale: Scale | None = None) -> bytes:
        version = _FLOAT32_VERSION if input_scale is None else _INT8_VERSION
        fully_connected = schema.BuiltinOperator.FULLY_CONNECTED
        self._model.operatorCodes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=fully_connected, builtinCode=fully_connected, version=version)
        ]
        x = self._rows("features", layers[0].weights.shape[1], input_scale)
        self._graph.inputs = [x]
        for number, layer in enumerate(layers):
            x = self._dense(x, layer, "output" if number == len(layers) - 1 else f"hidden_{number}", number)
        self._graph.outputs = [x]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _dense(self, x: int, layer: _Dense, name: str, number: int) -> int:
        weights = self._constant(f"weights_{number}", layer.weights, layer.weight_scale)
        bias = self._constant(f"bias_{number}", layer.bias, layer.bias_scale)
        output = self._rows(name, len(layer.bias), layer.output_scale)
        activation = schema.ActivationFunctionType
        self._graph.operators.append(
            schema.OperatorT(
                opcodeIndex=0,
                inputs=[x, weights, bias],
                outputs=[output],
                builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
                builtinOptions=schema.FullyConnectedOptionsT(
                    fusedActivationFunction=activation.RELU if layer.relu else activation.NONE
                ),
            )
        )
        return output

    def _rows(self, name: str, width: int, scale: Scale | None) -> int:
        """A tensor of any number of rows."""
        kind = schema.TensorType.FLOAT32 if scale is None else schema.TensorType.INT8
        return self._tensor(schema.TensorT(name=name, shape=[1, width], shapeSignature=[-1, width], type=kind), scale)

    def _constant(self, name: str, values: npt.NDArray[Any], scale: Scale | None) -> int:
        kinds = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        self._model.buffers.append(schema.BufferT(data=np.frombuffer(little_endian.tobytes(), np.uint8)))
        tensor = schema.TensorT(
            name=name, shape=list(values.shape), type=kinds[values.dtype.name], buffer=len(self._model.buffers) - 1
        )
        return self._tensor(tensor, scale)

    def _tensor(self, tensor: Any, scale: Scale | None) -> int:
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT(scale=[scale.scale], zeroPoint=[scale.zero])
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1
