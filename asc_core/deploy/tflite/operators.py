"""Torch's operators in LiteRT's words.

What torch has as (batch, channel, frequency, time) LiteRT has as (batch, frequency, time, channel); what has fewer
dimensions is the same in both. A normalisation goes into the convolution before it, a ReLU into whatever is before it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asc_core.deploy.tflite import schema
from asc_core.deploy.tflite.emitter import ORDER, Emitter, Value, layout
from asc_core.errors import UserError

INT8 = 127
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}  # of the weights


def same(emitter: Emitter, value: Value, *_: Any, **__: Any) -> Value:
    """What changes no number where nothing is trained."""
    return replace(value, node=emitter.node)


def nothing(*_: Any, **__: Any) -> None:
    """What only checks."""


def rounded(emitter: Emitter, value: Value, step: float, zero: int, least: int, most: int) -> Value:
    """What a network rounds to integers (`compression.activations`): here it says how far the tensor goes."""
    least = least if most <= INT8 else -most  # wider ones are symmetric
    emitter.builder.set_range(value.index, (least - zero) * step, (most - zero) * step)
    return same(emitter, value)


def conv2d(
    emitter: Emitter,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    depthwise = 1 < groups == x.shape[1]
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    kernel = tuple(weight.shape[2:])
    options.strideH, options.strideW = _pair(stride)
    options.dilationHFactor, options.dilationWFactor = _pair(dilation)
    index, options.padding = _padded(emitter, x, kernel, _pair(stride), _pair(padding), _pair(dilation))
    if depthwise:
        options.depthMultiplier = len(weight) // groups
    array = weight.detach().numpy().transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    added = np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()
    inputs = [index, emitter.builder.constant(array), emitter.builder.constant(added)]
    return emitter.emit("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, options=options)


def _padded(
    emitter: Emitter,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, int]:
    """What a window slides over, and LiteRT's word for the zeros around it: it can place them evenly or not at all."""
    if not any(padding):
        return x.index, schema.Padding.VALID
    evenly = True
    for axis in (0, 1):
        given, taken = x.shape[2 + axis], emitter.shape[2 + axis]
        zeros = max((taken - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1 - given, 0)
        evenly &= taken == -(-given // stride[axis]) and zeros // 2 == padding[axis]
    if evenly:
        return x.index, schema.Padding.SAME
    return _pad(emitter, x, _around(padding)).index, schema.Padding.VALID


def _around(padding: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros before and after each dimension of a map."""
    return [(0, 0), (0, 0), *((each, each) for each in padding)]


def _pad(emitter: Emitter, x: Value, zeros: Sequence[tuple[int, int]]) -> Value:
    shape = [length + sum(each) for length, each in zip(x.shape, zeros, strict=True)]
    return emitter.emit("PAD", [x.index, emitter.integers([zeros[axis] for axis in ORDER])], shape)


def pad(emitter: Emitter, x: Value, zeros: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    if mode != "constant" or value or len(x.shape) != 4:
        raise UserError("only zeros can be put around a map")
    ends = [(zeros[at], zeros[at + 1]) for at in range(len(zeros) - 2, -1, -2)]  # the last dimension is told first
    pairs = [(0, 0)] * (4 - len(ends)) + ends
    return _pad(emitter, x, pairs)


def batch_norm(
    emitter: Emitter, x: Value, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *more: Any
) -> Value:
    scale = weight / torch.sqrt(variance + more[2])
    shift = bias - mean * scale
    conv = emitter.maker(x)
    for name, axis in CHANNEL_AXIS.items():
        if (
            emitter.is_kind(conv, name)
            and conv.builtinOptions.fusedActivationFunction != schema.ActivationFunctionType.RELU
        ):
            along = [1, 1, 1, 1]
            along[axis] = -1
            weights, added = (emitter.builder.array(index) for index in conv.inputs[1:])
            factor, offset = (each.detach().numpy() for each in (scale, shift))
            conv.inputs[1] = emitter.builder.constant(weights * factor.reshape(along))
            conv.inputs[2] = emitter.builder.constant(added * factor + offset)
            return same(emitter, x)
    scaled = binary("MUL")(emitter, x, scale.reshape(-1, 1, 1))
    return binary("ADD")(emitter, scaled, shift.reshape(-1, 1, 1))


def relu(emitter: Emitter, x: Value) -> Value:
    options: Any = getattr(emitter.maker(x), "builtinOptions", None)
    if getattr(options, "fusedActivationFunction", None) == schema.ActivationFunctionType.NONE:
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        return same(emitter, x)
    return emitter.emit("RELU", [x.index])


def silu(emitter: Emitter, x: Value) -> Value:
    gate = emitter.emit("LOGISTIC", [x.index])
    return emitter.emit("MUL", [x.index, gate.index], options=schema.MulOptionsT())


def unary(name: str) -> Callable[..., Value]:
    def convert(emitter: Emitter, x: Value) -> Value:
        return emitter.emit(name, [x.index])

    return convert


def binary(name: str) -> Callable[..., Value]:
    def convert(emitter: Emitter, one: Any, other: Any, *, alpha: float = 1) -> Value:
        if alpha != 1:
            raise UserError("sums with a factor cannot be exported")
        rank, options = len(emitter.shape), getattr(schema, f"{name.capitalize()}OptionsT")()
        return emitter.emit(name, [emitter.operand(one, rank), emitter.operand(other, rank)], options=options)

    return convert


def divide(emitter: Emitter, one: Any, other: Any) -> Value:
    if isinstance(other, Value):
        return binary("DIV")(emitter, one, other)
    return binary("MUL")(emitter, one, 1 / torch.as_tensor(other, dtype=torch.float32))


def power(emitter: Emitter, x: Value, exponent: float) -> Value:
    """x^2, or of numbers above zero any power: the runtime of microcontrollers has exponentials and no powers."""
    if exponent == 2:
        return emitter.emit("MUL", [x.index, x.index], options=schema.MulOptionsT())
    product = binary("MUL")(emitter, emitter.emit("LOG", [x.index]), exponent)
    return emitter.emit("EXP", [product.index])


def reduce(name: str) -> Callable[..., Value]:
    def convert(emitter: Emitter, x: Value, dims: Sequence[int], keepdim: bool = False, **_: Any) -> Value:
        rank = len(x.shape)
        dims = sorted(dim % rank for dim in dims)
        axes = sorted(ORDER.index(dim) for dim in dims) if rank == 4 else dims
        left = [axis for axis in (ORDER if rank == 4 else range(rank)) if axis not in dims]
        if not keepdim and left != sorted(left):
            raise UserError("a mean that moves the channels cannot be exported")
        before = emitter.maker(x)
        if name == "MEAN" and len(axes) == rank - 2 == 2 and _is_linear(emitter, before):
            return _mean_before(emitter, before, axes)
        if name == "MEAN" and keepdim and emitter.is_kind(before, name):  # a mean of means is one over all their axes
            tensor = emitter.builder.tensors[before.inputs[1]]
            axes = sorted({*axes, *emitter.builder.buffers[tensor.buffer].data.view(np.int32).tolist()})
            before.inputs[1] = emitter.integers(axes)
            emitter.builder.tensors[x.index].shape = layout(emitter.shape)
            return replace(x, shape=emitter.shape, node=emitter.node)
        options = schema.ReducerOptionsT()
        options.keepDims = bool(keepdim)
        return emitter.emit(name, [x.index, emitter.integers(axes)], options=options)

    return convert


def _is_linear(emitter: Emitter, operator: Any) -> bool:
    """Whether an operator only multiplies the channels of each place by a matrix, its result not bounded."""
    if not emitter.is_kind(operator, "CONV_2D"):
        return False
    options, (x, weights, _) = operator.builtinOptions, operator.inputs
    _, *kernel, channels = emitter.builder.tensors[weights].shape
    return (
        kernel == [options.strideH, options.strideW] == [1, 1]
        and options.fusedActivationFunction == schema.ActivationFunctionType.NONE
        and emitter.builder.tensors[x].shape[-1] == channels
        and emitter.builder.tensors[operator.outputs[0]].quantization is None  # what was trained to be rounded stays
    )


def _mean_before(emitter: Emitter, convolution: Any, axes: Sequence[int]) -> Value:
    """The mean of what a linear operator computes, as what it computes of the mean: once, and not at every place."""
    builder = emitter.builder
    builder.operators.remove(convolution)
    x, *weights = convolution.inputs
    options = schema.ReducerOptionsT()
    options.keepDims = True
    mean = emitter.emit("MEAN", [x, emitter.integers(axes)], (1, builder.tensors[x].shape[-1], 1, 1), options)
    channels = builder.tensors[convolution.outputs[0]].shape[-1]
    y = emitter.emit("CONV_2D", [mean.index, *weights], (1, channels, 1, 1), convolution.builtinOptions)
    return y if y.shape == emitter.shape else reshape(emitter, y)


def vector_norm(emitter: Emitter, x: Value, order: float, dims: Sequence[int], keepdim: bool = False) -> Value:
    if order != 2:
        raise UserError("of the norms of vectors only the second can be exported")
    squares = emitter.emit("MUL", [x.index, x.index], x.shape, schema.MulOptionsT())
    total = reduce("SUM")(emitter, squares, dims, keepdim)
    return emitter.emit("SQRT", [total.index])


def pool(name: str) -> Callable[..., Value]:
    def convert(emitter: Emitter, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, *more: Any) -> Value:
        if any(more) or (any(_pair(padding)) and name == "MAX_POOL_2D"):
            raise UserError("poolings with this padding, dilation or rounding cannot be exported")
        kernel = _pair(kernel)
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.VALID
        options.filterHeight, options.filterWidth = kernel
        options.strideH, options.strideW = _pair(stride) if stride else kernel
        if any(_pair(padding)):  # torch counts the zeros, LiteRT's own padding does not
            x = _pad(emitter, x, _around(_pair(padding)))
        return emitter.emit(name, [x.index], options=options)

    return convert


def reshape(emitter: Emitter, x: Value, *_: Any) -> Value:
    """To another shape, where both orders of the dimensions have the numbers in the same order afterwards."""
    moved = [len(shape) == 4 and shape[1] > 1 and math.prod(shape[2:]) > 1 for shape in (x.shape, emitter.shape)]
    if any(moved) and (not all(moved) or x.shape[1] != emitter.shape[1]):
        raise UserError(f"a tensor {x.shape} cannot be exported as {emitter.shape}")
    options = schema.ReshapeOptionsT()
    options.newShape = layout(emitter.shape)
    return emitter.emit("RESHAPE", [x.index, emitter.integers(options.newShape)], options=options)


def linear(emitter: Emitter, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    """A matrix (out, in) times the last dimension of vectors, or of maps of one channel."""
    options = schema.FullyConnectedOptionsT()
    index = x.index
    if len(x.shape) == 4:
        if x.shape[1] != 1:
            raise UserError("products with a matrix along the time of several channels cannot be exported")
        index = emitter.emit("RESHAPE", [index, emitter.integers(x.shape[2:])], x.shape[2:]).index
    shape = emitter.shape[-2:] if len(x.shape) == 4 else emitter.shape
    added = np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()
    inputs = [index, emitter.builder.constant(weight.detach().numpy()), emitter.builder.constant(added)]
    y = emitter.emit("FULLY_CONNECTED", inputs, shape, options)
    if shape == emitter.shape:
        return y
    return emitter.emit("RESHAPE", [y.index, emitter.integers(layout(emitter.shape))])


def matmul(emitter: Emitter, x: Value, matrix: Tensor) -> Value:
    return linear(emitter, x, matrix.T)


def _pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values if len(values) == 2 else (values[0], values[0])


OPERATORS: dict[str, Callable[..., Value | None]] = {
    "conv2d.default": conv2d,
    "linear.default": linear,
    "matmul.default": matmul,
    "batch_norm.default": batch_norm,
    "relu.default": relu,
    "silu.default": silu,
    "hardtanh.default": unary("RELU6"),
    "sigmoid.default": unary("LOGISTIC"),
    "tanh.default": unary("TANH"),
    "exp.default": unary("EXP"),
    "log.default": unary("LOG"),
    "sqrt.default": unary("SQRT"),
    "rsqrt.default": unary("RSQRT"),
    "abs.default": unary("ABS"),
    "add.Tensor": binary("ADD"),
    "sub.Tensor": binary("SUB"),
    "mul.Tensor": binary("MUL"),
    "div.Tensor": divide,
    "pow.Tensor_Scalar": power,
    "mean.dim": reduce("MEAN"),
    "sum.dim_IntList": reduce("SUM"),
    "linalg_vector_norm.default": vector_norm,
    "max_pool2d.default": pool("MAX_POOL_2D"),
    "avg_pool2d.default": pool("AVERAGE_POOL_2D"),
    "pad.default": pad,
    "reshape.default": reshape,
    "view.default": reshape,
    "flatten.using_ints": reshape,
    "fake_quantize_per_tensor_affine.default": rounded,
    "to.dtype": same,
    "contiguous.default": same,
    "clone.default": same,
    "dropout.default": same,
    "feature_dropout.default": same,
    "_assert_tensor_metadata.default": nothing,
}  # fmt: skip
