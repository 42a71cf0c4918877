"""A LiteRT file from anywhere: held to what `asc export` writes before anything of it is computed.

LiteRT takes the memory that a graph asks for, however few bytes ask for it. So a graph may use the operators of
networks and no others, every tensor must be small enough, and none larger than its operator makes it.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from asc_core.deploy.graph import ENTRIES, METADATA, MOST, NODES, OPERATIONS
from asc_core.errors import UserError, reason
from asc_core.files import read_bytes

WIDTHS = {"FLOAT32": 4, "INT8": 1, "INT16": 2, "INT32": 4}  # bytes of a number of the types in use
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
BROADCAST = ("ADD", "SUB", "MUL", "DIV")
POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
# What never has more numbers in its result than in its first operand.
SHRINKING = frozenset({
    *POOLS, "ABS", "DEQUANTIZE", "EXP", "LOG", "LOGISTIC", "MEAN", "QUANTIZE", "RELU", "RELU6", "RESHAPE", "RSQRT",
    "SLICE", "SQRT", "SUM", "TANH",
})  # fmt: skip
OPERATORS = SHRINKING | {*CONVOLUTIONS, *BROADCAST, "CONCATENATION", "FULLY_CONNECTED", "PAD"}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph. `data` are its bytes where it is a constant, `scales` and `zeros` how its integers mean
    numbers, for all of them or for each channel."""

    name: str
    shape: tuple[int, ...]
    kind: str
    data: bytes | None
    scales: tuple[float, ...]
    zeros: tuple[int, ...]

    @cached_property
    def entries(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.entries * WIDTHS[self.kind]


@dataclass(frozen=True)
class Operator:
    """An operator of a graph: its name, the indices of what it takes and computes, and the size of a pool's window."""

    name: str
    inputs: tuple[int, ...]
    output: int
    window: int


@dataclass(frozen=True)
class Graph:
    """What a file holds, in the order in which it is computed."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: list[int]
    outputs: list[int]
    entries: dict[str, bytes]  # of its metadata


def read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A file, as LiteRT takes it, and its description.

    Raises:
        UserError: it is missing, or no file that `asc export` could have written.
        ModuleNotFoundError: LiteRT is not installed.
    """
    content = read_bytes(path, MOST)
    try:
        return content, check(content)
    except UserError as error:
        raise UserError(f"{path}: not a file as `asc export` writes it ({error})") from None


def check(content: bytes) -> dict[str, Any]:
    """Hold a file to what may be computed, and return its description.

    Raises:
        UserError: it is no such file.
        ModuleNotFoundError: LiteRT is not installed.
    """
    from ai_edge_litert import schema_py_generated  # noqa: F401  # that it is missing is no fault of the file

    try:
        graph = graph_of(content)
        _check_seal(content, graph)
        return _description(graph)
    except Exception as error:  # what reading a damaged file raises has no base of its own
        raise UserError(reason(error)) from None


def _check_seal(content: bytes, graph: Graph) -> None:
    """Hold a file to the digest in it."""
    from asc_core.deploy.tflite.builder import DIGEST, UNSEALED

    digest = graph.entries.get(DIGEST, b"")
    if len(digest) != len(UNSEALED) or hashlib.sha256(content.replace(digest, UNSEALED)).digest() != digest:
        raise ValueError("it is damaged or incomplete; copy or export it again")


def _description(graph: Graph) -> dict[str, Any]:
    """The description of a graph that may be computed."""
    from asc_core.features.frontend import features_of
    from asc_core.models.description import network_of, parse

    if METADATA not in graph.entries:
        raise ValueError("nothing says what it was trained on")
    description = parse(graph.entries[METADATA])
    _, classes = network_of(description)
    features, seconds = features_of(description)
    shapes = {"features": (1, features.n_mels, features.frames(seconds), 1), "logits": (1, classes)}
    for ends, (name, shape) in zip((graph.inputs, graph.outputs), shapes.items(), strict=True):
        found = [(graph.tensors[index].name, graph.tensors[index].shape) for index in ends]
        if found != [(name, shape)] or graph.tensors[ends[0]].kind not in ("FLOAT32", "INT8"):
            raise ValueError(f"it has not just {name} of shape {shape}, which its description asks for")
    for operator in graph.operators:
        _check_size(operator, graph.tensors)
    if macs(graph) + sum(tensor.entries for tensor in graph.tensors) > OPERATIONS:
        raise ValueError(f"it takes more than {OPERATIONS:,} operations")
    return description


def _check_size(operator: Operator, tensors: list[Tensor]) -> None:
    """Hold what an operator computes to the size that LiteRT will find it to have."""
    taken, result = [tensors[index] for index in operator.inputs], tensors[operator.output]
    first, most = taken[0], taken[0].entries
    if operator.name in BROADCAST:
        most = math.prod(np.broadcast_shapes(*(tensor.shape for tensor in taken)))
    elif operator.name in CONVOLUTIONS:
        most = math.prod(first.shape[:3]) * max(taken[1].shape[0], taken[1].shape[3])
    elif operator.name == "FULLY_CONNECTED":
        most = first.entries // taken[1].shape[1] * taken[1].shape[0]
    elif operator.name == "CONCATENATION":
        most = sum(tensor.entries for tensor in taken)
    elif operator.name == "PAD":
        zeros = np.frombuffer(taken[1].data or b"", np.int32).reshape(-1, 2)
        if zeros.min() < 0:
            raise ValueError("it pads with fewer than no zeros")
        most = math.prod(length + int(each.sum()) for length, each in zip(first.shape, zeros, strict=True))
    if most > ENTRIES or result.entries > most:
        raise ValueError(f"what {operator.name} computes is not of the size that it says, or above {ENTRIES:,} numbers")


def macs(graph: Graph) -> int:
    """Multiply-accumulates of convolutions and matrix products for one clip, as `models.macs.macs` counts them."""
    total = 0
    for operator in graph.operators:
        output = graph.tensors[operator.output].entries
        if operator.name in CONVOLUTIONS:
            _, height, width, channels = graph.tensors[operator.inputs[1]].shape
            total += output * height * width * (channels if operator.name == "CONV_2D" else 1)
        elif operator.name == "FULLY_CONNECTED":
            total += output * graph.tensors[operator.inputs[1]].shape[1]
    return total


def graph_of(content: bytes) -> Graph:
    """The graph in a file, nothing of which is believed to be short before it is counted.

    Raises:
        ValueError: it has parts that no exported network has.
        Exception: it is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ValueError("it is no LiteRT file")
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    lengths = (graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength(), model.OperatorCodesLength())
    if model.SubgraphsLength() != 1 or max(lengths) > NODES or max(graph.InputsLength(), graph.OutputsLength()) > 1:
        raise ValueError("it has parts that no exported network has")
    tensors = [_tensor(model, graph.Tensors(index)) for index in range(graph.TensorsLength())]
    if sum(tensor.entries for tensor in tensors if tensor.data is not None) > ENTRIES:
        raise ValueError(f"it holds more than {ENTRIES:,} numbers")
    codes = [_code(model.OperatorCodes(index)) for index in range(model.OperatorCodesLength())]
    operators = [_operator(graph.Operators(index), codes, tensors) for index in range(graph.OperatorsLength())]
    inputs, outputs = [graph.Inputs(0)], [graph.Outputs(0)]
    if not all(0 <= index < len(tensors) for index in (*inputs, *outputs)):
        raise ValueError("it takes or returns a tensor that it has not")
    return Graph(tensors, operators, inputs, outputs, dict(_metadata(model)))


def _tensor(model: Any, tensor: Any) -> Tensor:
    kind = next((name for name, code in _constants("TensorType") if code == tensor.Type()), "")
    buffer, quantization = model.Buffers(tensor.Buffer()), tensor.Quantization()
    foreign = buffer.Offset() or buffer.Size() or tensor.ExternalBuffer() or tensor.Sparsity() or tensor.IsVariable()
    if kind not in WIDTHS or foreign or tensor.ShapeLength() > 6 or tensor.ShapeSignatureLength():
        raise ValueError("it has a tensor of a kind that no exported network has")
    shape = tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
    if not all(length > 0 for length in shape) or math.prod(shape) > ENTRIES:
        raise ValueError(f"it has a tensor without a size, or of more than {ENTRIES:,} numbers")
    data = buffer.DataAsNumpy().tobytes() if buffer.DataLength() else None
    name = (tensor.Name() or b"").decode()
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    if quantization is not None and quantization.ScaleLength():
        if max(quantization.ScaleLength(), quantization.ZeroPointLength()) > max(shape, default=1):
            raise ValueError("it has more scales than channels")
        scales = tuple(float(quantization.Scale(index)) for index in range(quantization.ScaleLength()))
        zeros = tuple(int(quantization.ZeroPoint(index)) for index in range(quantization.ZeroPointLength()))
        if not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ValueError("it has a scale that is no number above zero")
    result = Tensor(name, shape, kind, data, scales, zeros)
    if data is not None and len(data) != result.bytes:
        raise ValueError("a tensor is not as long as its shape says")
    return result


def _constants(name: str) -> list[tuple[str, int]]:
    """The names of an enumeration of the format."""
    from ai_edge_litert import schema_py_generated as schema

    return [(key, code) for key, code in vars(getattr(schema, name)).items() if isinstance(code, int)]


def _code(entry: Any) -> str:
    code = entry.BuiltinCode()
    name = next((name for name, known in _constants("BuiltinOperator") if known == code), "of no name")
    if entry.CustomCode() is not None or entry.DeprecatedBuiltinCode() != min(code, 127) or name not in OPERATORS:
        raise ValueError(f"it uses the operator {json.dumps(name)}, which networks do not")
    return name


def _operator(operator: Any, codes: list[str], tensors: list[Tensor]) -> Operator:
    from ai_edge_litert import schema_py_generated as schema

    name = codes[operator.OpcodeIndex()]
    if not 1 <= operator.InputsLength() <= 32 or operator.OutputsLength() != 1 or operator.IntermediatesLength():
        raise ValueError(f"{name} has not as many operands as in exported networks")
    inputs = tuple(int(operator.Inputs(index)) for index in range(operator.InputsLength()))
    output, window = int(operator.Outputs(0)), 1
    if not all(0 <= index < len(tensors) for index in (*inputs, output)) or tensors[output].data is not None:
        raise ValueError(f"{name} takes or computes a tensor that there is not")
    if name in POOLS:
        options, table = schema.Pool2DOptions(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        window = options.FilterHeight() * options.FilterWidth()
        if window < 1 or window > ENTRIES or min(options.StrideH(), options.StrideW()) < 1:
            raise ValueError(f"{name} has no window, or a large one")
    return Operator(name, inputs, output, window)


def _metadata(model: Any) -> Iterator[tuple[str, bytes]]:
    if model.MetadataLength() > 32:
        raise ValueError("it has parts that no exported network has")
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        buffer = model.Buffers(entry.Buffer())
        yield (entry.Name() or b"").decode(), buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""
