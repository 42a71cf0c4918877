"""The code of a network in C: a call of a kernel for each operator of its LiteRT graph of 32-bit floats."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from asc_core.deploy.c.tables import number
from asc_core.deploy.tflite import schema
from asc_core.deploy.tflite.builder import parse
from asc_core.deploy.tflite.cost import placement
from asc_core.deploy.tflite.reading import CONVOLUTIONS, POOLS, Graph, Operator, graph_of

SIGNS = {"ADD": "+", "SUB": "-", "MUL": "*", "DIV": "/"}
FUNCTIONS = {
    "ABS": "fabsf",
    "EXP": "expf",
    "LOG": "logf",
    "LOGISTIC": "asc_logistic",
    "RELU": "asc_relu",
    "RSQRT": "asc_rsqrt",
    "SQRT": "sqrtf",
    "TANH": "tanhf",
}


def network_source(content: bytes) -> str:
    """The file asc_network.c.

    Its weights are constants and its activations one static array, every tensor in its place for as long as it is used.

    Args:
        content: what `to_tflite` returns.
    """
    graph = graph_of(content)
    options = [operator.builtinOptions for operator in parse(content).subgraphs[0].operators]
    writer = _Writer(graph)
    calls = [writer.call(*each) for each in zip(graph.operators, options, strict=True)]
    features, logits = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    body = [
        f"    memcpy({writer.at(graph.inputs[0])}, features, {features.bytes});",
        *(f"    {call}" for call in calls),
        f"    memcpy(logits, {writer.at(graph.outputs[0])}, {logits.bytes});",
    ]
    return "\n".join([
        '#include "asc_network.h"',
        "",
        '#include "asc_kernels.h"',
        "",
        *writer.constants,
        "",
        f"static float arena[{max(writer.size // 4, 1)}];",
        "",
        "void asc_network(const float *features, float *logits) {",
        *body,
        "}",
        "",
    ])  # fmt: skip


class _Writer:
    """Writes calls, and the constants that they name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: list[str] = []
        self.offsets, self.size = placement(graph)
        self._names: dict[Any, str] = {}

    def at(self, index: int) -> str:
        """A tensor: its place in the arena, or the name of a constant."""
        tensor = self.graph.tensors[index]
        if tensor.data is None:
            return f"arena + {self.offsets[index] // 4}"
        return self._constant("float", tuple(np.frombuffer(tensor.data, np.float32).tolist()))

    def shape(self, lengths: tuple[int, ...]) -> str:
        """Four lengths, those that are missing put in front as ones."""
        return self._constant("int", (1,) * (4 - len(lengths)) + tuple(lengths))

    def _constant(self, kind: str, values: tuple[float, ...]) -> str:
        key = (kind, values)
        if key not in self._names:
            self._names[key] = f"{kind}s{len(self._names)}"
            texts = [str(value) if kind == "int" else number(value) for value in values]
            self.constants.append(f"static const {kind} {self._names[key]}[] = {{{', '.join(texts)}}};")
        return self._names[key]

    def call(self, operator: Operator, options: Any) -> str:
        """The call of a kernel that does what an operator does."""
        name, tensors = operator.name, self.graph.tensors
        taken, result = tensors[operator.inputs[0]], tensors[operator.output]
        x, y = self.at(operator.inputs[0]), self.at(operator.output)
        n, m = self.shape(taken.shape), self.shape(result.shape)
        relu = int(getattr(options, "fusedActivationFunction", 0) == schema.ActivationFunctionType.RELU)
        if name in CONVOLUTIONS:
            weights, bias = (self.at(index) for index in operator.inputs[1:])
            _, *kernel, channels = tensors[operator.inputs[1]].shape
            window, depthwise = self._window(options, kernel, taken.shape, result.shape), int(name != "CONV_2D")
            channels = 1 if depthwise else channels
            return f"asc_conv({x}, {n}, {weights}, {bias}, {y}, {m}, &{window}, {channels}, {depthwise}, {relu});"
        if name in POOLS:
            window = self._window(options, (options.filterHeight, options.filterWidth), taken.shape, result.shape)
            return f"asc_pool({x}, {n}, {y}, {m}, &{window}, {int(name == 'MAX_POOL_2D')});"
        if name in SIGNS:
            other = operator.inputs[1]
            o = self.shape(tensors[other].shape)
            return f"asc_binary('{SIGNS[name]}', {x}, {n}, {self.at(other)}, {o}, {y}, {m}, {relu});"
        if name in ("MEAN", "SUM"):
            kept = self._kept(operator)
            factor = math.prod(kept) / taken.entries if name == "MEAN" else 1.0
            return f"asc_reduce({x}, {n}, {y}, {self.shape(kept)}, {number(factor)});"
        if name == "PAD":
            zeros = np.frombuffer(tensors[operator.inputs[1]].data or b"", np.int32).reshape(-1, 2)
            return f"asc_pad({x}, {n}, {y}, {m}, {zeros[1, 0]}, {zeros[2, 0]});"
        if name == "RESHAPE":
            return f"memcpy({y}, {x}, {taken.bytes});"
        if name == "FULLY_CONNECTED":
            weights, bias = (self.at(index) for index in operator.inputs[1:])
            n, m = (self.shape((*each.shape[:-1], 1, each.shape[-1])) for each in (taken, result))
            window = self._constant_window((1, 1, 1, 1, 1, 1, 0, 0))
            return f"asc_conv({x}, {n}, {weights}, {bias}, {y}, {m}, &{window}, {taken.shape[-1]}, 0, {relu});"
        return f"ASC_EACH({FUNCTIONS[name]}, {x}, {y}, {result.entries});"

    def _kept(self, operator: Operator) -> tuple[int, ...]:
        """The shape of what is taken, with ones where it is summed."""
        shape = self.graph.tensors[operator.inputs[0]].shape
        axes = np.frombuffer(self.graph.tensors[operator.inputs[1]].data or b"", np.int32).tolist()
        return tuple(1 if axis in axes else length for axis, length in enumerate(shape))

    def _window(self, options: Any, kernel: Sequence[int], given: tuple[int, ...], taken: tuple[int, ...]) -> str:
        strides = (options.strideH, options.strideW)
        dilations = (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1))
        zeros = [0, 0]
        for axis in (0, 1) if options.padding == schema.Padding.SAME else ():
            reach = (taken[1 + axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            zeros[axis] = max(reach - given[1 + axis], 0) // 2
        return self._constant_window((*kernel, *strides, *dilations, *zeros))

    def _constant_window(self, numbers: tuple[int, ...]) -> str:
        key = ("window", numbers)
        if key not in self._names:
            self._names[key] = f"window{len(self._names)}"
            listed = ", ".join(map(str, numbers))
            self.constants.append(f"static const asc_window {self._names[key]} = {{{listed}}};")
        return self._names[key]
