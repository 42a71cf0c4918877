"""What a network takes of a device's memory, from its ONNX graph, so without the runtime of a device: its activations,
each kept while it is used, as LiteRT for Microcontrollers keeps them, and what that keeps of the graph's structure."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Key = TypeVar("Key", bound=Hashable)
Step = tuple[Sequence[Key], Key]  # the tensors that an operator takes, and the one that it computes

ALIGNMENT = 16  # bytes, of every tensor in the arena of LiteRT for Microcontrollers
# Bytes that its interpreter keeps: for itself, for every tensor, operator and channel of a convolution, and for every
# operator's own data, the mean of what its kernels ask for.
INTERPRETER, PER_TENSOR, PER_OPERATOR, PER_CHANNEL, PER_KERNEL = 2560, 24, 64, 8, 64
# What a converter leaves to the operator before it, or to nobody: none of them has a result of its own.
FUSED = frozenset({
    "Cast", "Clip", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Relu", "Squeeze",
    "Unsqueeze",
})  # fmt: skip
FLOAT32, INT8, INT16 = 4, 1, 2  # bytes of a number


def kept(tensors: int, operators: int, kernels: int, channels: int) -> int:
    """About the bytes that are kept of a graph's structure.

    Args:
        tensors: how many, constants included.
        operators: how many.
        kernels: of the operators those that have data of their own.
        channels: of all convolutions.
    """
    each = PER_TENSOR * tensors + PER_OPERATOR * operators + PER_KERNEL * kernels + PER_CHANNEL * channels
    return INTERPRETER + each


def placement(
    sizes: Mapping[Key, int], steps: Sequence[Step[Key]], given: Sequence[Key], returned: Sequence[Key]
) -> tuple[dict[Key, int], int]:
    """Where each tensor that is computed is kept while it is used, in bytes from the start, and the bytes of it all.

    Placed as LiteRT for Microcontrollers does: the largest first, each in the first gap between those that are used at
    the same time (arXiv 2001.03288, greedy by size).

    Args:
        sizes: bytes of the tensors that are given or computed; others are constants.
        steps: in the order in which they are computed.
    """
    first, last = dict.fromkeys(given, 0), dict.fromkeys(given, 0)
    for at, (taken, computed) in enumerate(steps):
        first[computed] = last[computed] = at
        last |= {key: at for key in taken if key in first}
    last |= dict.fromkeys(returned, len(steps) - 1)
    aligned = {key: -(-sizes[key] // ALIGNMENT) * ALIGNMENT for key in first}
    offsets: dict[Key, int] = {}
    for key in sorted(first, key=lambda key: -aligned[key]):
        offset = 0
        for other in sorted(offsets, key=lambda other: offsets[other]):
            if first[other] <= last[key] and first[key] <= last[other]:
                if offsets[other] - offset >= aligned[key]:
                    break
                offset = max(offset, offsets[other] + aligned[other])
        offsets[key] = offset
    return offsets, max(offset + aligned[key] for key, offset in offsets.items())


@dataclass
class _Plan:
    """What a graph computes step by step, a fused operator with the one before it."""

    width: int  # bytes of a number
    shapes: Mapping[str, tuple[int, ...]]
    own: dict[str, str] = field(default_factory=dict)  # a tensor, to the one whose memory it is in
    sizes: dict[str, int] = field(default_factory=dict)
    steps: list[Step[str]] = field(default_factory=list)
    convolved: set[str] = field(default_factory=set)
    constants: int = 0
    channels: int = 0

    def add(self, node: "NodeProto") -> None:
        """The steps of a node that takes something computed."""
        taken, result = [self.own[name] for name in node.input if name in self.own], node.output[0]
        self.own[result] = taken[0]  # until there is a step for it
        if node.op_type in FUSED or (node.op_type == "BatchNormalization" and taken[0] in self.convolved):
            return
        width, first = self.width, node.input[0]
        if node.op_type == "ReduceL2" or (node.op_type == "Mul" and first == node.input[1]):  # squares
            if width == INT8:
                width = INT16  # as the export in 8 bit has them
                taken = [self._step(taken, f"{result}/wide", width * self.entries(first))]
            if node.op_type == "ReduceL2":
                taken = [self._step(taken, f"{result}/squares", width * self.entries(first))]
        elif node.op_type == "Conv":
            self.constants += 2
            self.channels += self.shapes[node.input[1]][0]
            self.convolved.add(result)
            if padded := self._padded(node):
                taken = [self._step(taken, f"{result}/padded", width * padded)]
        elif node.op_type == "BatchNormalization":  # a scale, and then a shift
            self.constants += 2
            taken = [self._step(taken, f"{result}/scaled", width * self.entries(result))]
        elif len(taken) < len(node.input):
            self.constants += 1
        self.own[result] = self._step(taken, result, width * self.entries(result))

    def entries(self, name: str) -> int:
        """How many numbers a tensor has; as many as before where it is reshaped and the format does not know."""
        return math.prod(self.shapes[name]) if name in self.shapes else self.sizes[self.own[name]] // self.width

    def _padded(self, node: "NodeProto") -> int:
        """How many numbers what a convolution takes has with its zeros around it, or 0 where they are not put there
        first: LiteRT does not for those that its own word for them, SAME, means."""
        given, kernel = self.shapes[node.input[0]], self.shapes[node.input[1]][2:]
        told = {each.name: list(each.ints) for each in node.attribute}
        pads, entries, same = told["pads"], given[1], True
        for axis, (stride, dilation) in enumerate(zip(told["strides"], told["dilations"], strict=True)):
            length, taken = given[2 + axis], self.shapes[node.output[0]][2 + axis]
            zeros = max((taken - 1) * stride + dilation * (kernel[axis] - 1) + 1 - length, 0)
            same &= taken == -(-length // stride) and zeros // 2 == pads[axis]
            entries *= length + pads[axis] + pads[2 + axis]
        return 0 if same or not any(pads) else entries

    def _step(self, taken: Sequence[str], result: str, size: int) -> str:
        self.steps.append((taken, result))
        self.sizes[result] = size
        return result


def estimate(graph: "GraphProto", shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """About the bytes of memory that a network takes for one clip, `float32` and, with activations in 8 bit, `int8`.

    In 8 bit the squares of a normalisation by a clip's own statistics are 16-bit integers, as in an exported file.

    Args:
        graph: in the order of its computation, as the format asks for.
        shapes: of all its tensors, its constants among them.
    """
    total = {}
    for kind, width in {"float32": FLOAT32, "int8": INT8}.items():
        plan = _Plan(width, shapes, {"features": "features"}, {"features": width * math.prod(shapes["features"])})
        for node in graph.node:
            if node.op_type != "Shape" and any(name in plan.own for name in node.input):
                plan.add(node)
        _, activations = placement(plan.sizes, plan.steps, ["features"], [plan.own["logits"]])
        tensors, operators = len(plan.sizes) + plan.constants, len(plan.steps)
        total[kind] = activations + kept(tensors, operators, operators, plan.channels)
    return total
