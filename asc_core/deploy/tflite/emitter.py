"""Puts the operators of one node of torch's graph after another into a graph of LiteRT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from asc_core.deploy.tflite import schema
from asc_core.deploy.tflite.builder import Builder

ORDER = (0, 2, 3, 1)  # of torch's dimensions in LiteRT


def layout(shape: Sequence[int]) -> list[int]:
    """The lengths of a tensor in LiteRT's order."""
    return [shape[axis] for axis in ORDER] if len(shape) == 4 else list(shape)


@dataclass(frozen=True)
class Value:
    """A tensor that depends on the input: its index in LiteRT's graph, its shape in torch's order, and what made it."""

    index: int
    shape: tuple[int, ...]
    node: fx.Node


class Emitter:
    """What a node of torch's graph is put into LiteRT's with; `node` and `shape` are those of the node at hand."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.node: fx.Node
        self.shape: tuple[int, ...] = ()  # of what the node computes

    def emit(self, name: str, inputs: Sequence[int], shape: Sequence[int] | None = None, options: Any = None) -> Value:
        """Add an operator that computes a tensor of this shape in torch's order (the node's own if none is given)."""
        shape = self.shape if shape is None else tuple(shape)
        return Value(self.builder.operator(name, inputs, layout(shape), options), shape, self.node)

    def integers(self, numbers: Any) -> int:
        return self.builder.constant(np.asarray(numbers, np.int32))

    def operand(self, value: Value | Tensor | float, rank: int) -> int:
        """The index of what an operator with values of this rank takes, broadcast as torch does."""
        if isinstance(value, Value):
            return value.index
        array = torch.as_tensor(value, dtype=torch.float32).detach().numpy()
        if array.ndim and rank == 4:
            array = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(ORDER)
        return self.builder.constant(array.reshape(array.shape or (1,)))

    def maker(self, value: Value) -> Any:
        """The operator whose result is used here alone, so that it may be changed; None where there is none."""
        if len(value.node.users) != 1:
            return None
        return next((each for each in reversed(self.builder.operators) if each.outputs[0] == value.index), None)

    def is_kind(self, operator: Any, name: str) -> bool:
        code = self.builder.codes.get(getattr(schema.BuiltinOperator, name))
        return operator is not None and operator.opcodeIndex == code
