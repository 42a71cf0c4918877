"""An ONNX graph from anywhere: held to what `asc export` writes before anything of it is computed.

A graph can name files of this machine, hold graphs in graphs, and ask for any amount of memory or time in a few bytes.
So it may use the operators of networks and no others; with the description's features as its input, every tensor in it
must have a size that is known beforehand, and small enough.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_core.errors import UserError, reason
from asc_core.files import read_bytes

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

METADATA = "asc"  # the key under which a graph holds its description as JSON
# What networks consist of: arithmetic whose cost follows from the sizes of what goes in and out. Not among them are
# loops, branches, random numbers and texts.
OPERATORS = frozenset({
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
    "DequantizeLinear", "Div", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "Greater", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization",
    "LeakyRelu", "Less", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Pad", "Pow", "PRelu",
    "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Shape", "Sigmoid", "Sign", "Slice", "Softmax", "Softplus", "Split", "Sqrt",
    "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
SAME_SIZE = ("Reshape", "BatchNormalization")  # whose result has as many numbers as what they take
MOST = 1 << 26  # bytes of a file
NODES = 1 << 13
ENTRIES = 1 << 24  # most numbers in a tensor, as in the networks of packages
OPERATIONS = 1 << 36  # most multiplications or so for a window: some seconds

Shape = tuple[int, ...]


def read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A graph, as ONNX Runtime takes it, and its description.

    Raises:
        UserError: the file is missing, or no graph that `asc export` could have written.
        ModuleNotFoundError: ONNX is not installed.
    """
    content = read_bytes(path, MOST)
    try:
        return content, check(content)
    except UserError as error:
        raise UserError(f"{path}: not a graph as `asc export` writes it ({error})") from None


def check(content: bytes) -> dict[str, Any]:
    """Hold a graph to what may be computed, and return its description.

    Raises:
        UserError: it is no such graph.
        ModuleNotFoundError: ONNX is not installed.
    """
    import onnx

    try:
        return _checked(onnx.load_from_string(content))
    except Exception as error:  # what ONNX and protobuf raise has no base of its own
        raise UserError(reason(error)) from None


def _checked(model: "ModelProto") -> dict[str, Any]:
    """The description of a graph that may be computed."""
    from asc_core.features.frontend import features_of
    from asc_core.models.description import network_of, parse

    described = [entry.value for entry in model.metadata_props if entry.key == METADATA]
    if len(described) != 1:
        raise ValueError("nothing says what it was trained on")
    description = parse(described[0])
    _, classes = network_of(description)
    features, seconds = features_of(description)
    _check_parts(model)
    shape = (1, 1, features.n_mels, features.frames(seconds))
    _check_sizes(model, shape, (1, classes))
    return description


def _check_parts(model: "ModelProto") -> None:
    """Hold the parts of a graph to the kinds that exported ones have."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or len(graph.node) > NODES:
        raise ValueError("it has parts that no exported network has")
    for node in graph.node:
        if node.domain or node.op_type not in OPERATORS:
            raise ValueError(f"it uses the operator {json.dumps(node.op_type[:50])}, which networks do not")
        if any(each.HasField("g") or each.graphs or each.HasField("sparse_tensor") for each in node.attribute):
            raise ValueError("it holds graphs within a graph")
    entries = 0
    for tensor in _tensors(graph):
        if tensor.data_location or tensor.external_data:
            raise ValueError("its numbers are in another file")
        if any(length < 0 for length in tensor.dims):
            raise ValueError("a tensor has a negative length")
        entries += math.prod(tensor.dims)
    if entries > ENTRIES:
        raise ValueError(f"it holds more than {ENTRIES:,} numbers")


def _tensors(graph: "GraphProto") -> Iterator["TensorProto"]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t


def _check_sizes(model: "ModelProto", features: Shape, logits: Shape) -> None:
    """Hold a graph to taking features and returning logits of such shapes, and whatever is between to bounds."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in given]
    for values, name, shape in ((inputs, "features", features), (model.graph.output, "logits", logits)):
        if [value.name for value in values] != [name] or not _fits(values[0], shape):
            raise ValueError(f"it has not just {name} of shape {shape}, which its description asks for")
    inferred, shapes = with_shapes(model, features)
    entries = {name: math.prod(shape) for name, shape in shapes.items()}
    operations = sum(_operations(node, shapes, entries) for node in inferred.node)
    if shapes.get("logits") != logits or operations > OPERATIONS:
        raise ValueError(f"it does not compute {name} in up to {OPERATIONS:,} operations")


def with_shapes(model: "ModelProto", features: Shape) -> tuple["GraphProto", dict[str, Shape]]:
    """A graph for features of this shape, and the shapes of its tensors, as far as they follow from it."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # what it says of these is not believed
    for value in fixed.graph.input:
        if value.name == "features":
            for dimension, length in zip(value.type.tensor_type.shape.dim, features, strict=True):
                dimension.dim_value = length
    inferred = onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True).graph
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dimensions = value.type.tensor_type.shape.dim
        if all(dimension.HasField("dim_value") for dimension in dimensions) and value.name not in shapes:
            shapes[value.name] = tuple(dimension.dim_value for dimension in dimensions)
    return inferred, shapes


def _fits(value: "ValueInfoProto", shape: Shape) -> bool:
    """Whether a value is declared as 32-bit floats that can have this shape: each length is the same or left open."""
    from onnx import TensorProto

    kind = value.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT or len(kind.shape.dim) != len(shape):
        return False
    return all(
        not dimension.HasField("dim_value") or dimension.dim_value == length
        for dimension, length in zip(kind.shape.dim, shape, strict=True)
    )


def _operations(node: "NodeProto", shapes: dict[str, Shape], entries: dict[str, int]) -> int:
    """About how many operations a node takes.

    Args:
        shapes: of tensors, where they are known.
        entries: how many numbers tensors have; what this node computes is added.

    Raises:
        ValueError: the size of what it computes is not known, or too large.
    """
    computed = 0
    for output in filter(None, node.output):
        if output not in entries and node.op_type in SAME_SIZE:
            entries[output] = entries.get(node.input[0], -1)
        if not 0 <= entries.get(output, -1) <= ENTRIES:
            raise ValueError(f"the size of what {node.op_type} computes is not known, or above {ENTRIES:,} numbers")
        computed += entries[output]
    if node.op_type in ("MatMul", "Gemm"):
        return computed * max(shapes[node.input[0]])  # one of its lengths, whether transposed or not
    if node.op_type == "Conv":
        return computed * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("MaxPool", "AveragePool"):
        return computed * next(math.prod(each.ints) for each in node.attribute if each.name == "kernel_shape")
    return computed + sum(entries.get(name, 0) for name in node.input)
