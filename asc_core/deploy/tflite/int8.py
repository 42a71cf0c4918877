"""A LiteRT file in 8-bit integers: weights, activations, what it takes and what it returns."""

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from asc_core.deploy.graph import METADATA
from asc_core.deploy.tflite import schema
from asc_core.deploy.tflite.builder import add_metadata, metadata, name_of, pack, parse, seal
from asc_core.deploy.tflite.operators import CHANNEL_AXIS
from asc_core.deploy.tflite.running import MOST
from asc_core.errors import UserError

# Beyond what was seen of an activation, as a share: what comes later goes further, and what is cut off costs more than
# the coarser step does.
MARGIN = 0.1
LEAST_SHARE = 1e-5  # of the largest weight of a convolution: how far those of each channel go at least
ROUNDING = 0.01  # of a step: what is left of weights that are integers once they were floats
WIDE, EXACT = "wide", "exact"  # what the names of tensors that are not to be 8-bit begin with
WHOLE = "whole"  # the same of results of convolutions whose weights have a single step
SAME = ("RESHAPE", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D")  # operators whose result has the step of what they take


def to_int8(content: bytes, clips: Iterable[np.ndarray]) -> bytes:
    """An exported float32 file in 8-bit integers: weights per channel, activations as `clips` range, unless the network
    was trained with ranges of its own, which the file then has.

    Two things stay finer, as normalisations by a clip's own statistics (ResNorm) would not survive otherwise: squares
    and their mean are 16-bit integers, and the few numbers that are computed from them (the reciprocal of a deviation)
    32-bit floats. The description in its metadata gets `int8`: scale and zero point of "features" and "logits".

    Args:
        content: what `to_tflite` returns.
        clips: features (1, 1, mel, frame) of real sound; none are needed where ranges were trained.

    Raises:
        UserError: ranges were trained, but not of every tensor.
        ModuleNotFoundError: LiteRT or its quantizer (the package ai-edge-quantizer) is not installed.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe, recipe_manager

    model = parse(content)
    _name(model)
    trained = _trained(model)
    named = pack(model)
    (integers,), (wider,) = recipe.static_wi8_ai8(), recipe.static_wi8_ai16()
    whole = recipe_manager.RecipeManager()
    for name in (qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.DEPTHWISE_CONV_2D):
        whole.add_static_config(f".*{WHOLE}.*", name, 8, 8, qtyping.QuantGranularity.TENSORWISE)
    rules = [
        integers,
        *whole.get_quantization_recipe(),
        {**wider, "regex": f".*{WIDE}.*"},
        {**integers, "regex": f".*{EXACT}.*", "algorithm_key": "no_quantize"},
    ]
    ranges = (trained or _ranges(named, clips)) | _weights(model)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its bars and tables
        quantized = quantizer.Quantizer(bytearray(named), rules).quantize(ranges)
    model = _whole(bytes(quantized.quantized_model))
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    graph = model.subgraphs[0]
    ends = {"features": graph.tensors[graph.inputs[0]], "logits": graph.tensors[graph.outputs[0]]}
    for tensor in graph.tensors:
        tensor.name = next((name for name, end in ends.items() if end is tensor), None)
    (description,) = metadata(model, METADATA)
    steps = {
        name: {"scale": float(end.quantization.scale[0]), "zero_point": int(end.quantization.zeroPoint[0])}
        for name, end in ends.items()
    }
    add_metadata(model, METADATA, json.dumps({**json.loads(description), "int8": steps}).encode())
    return seal(model)


def _whole(content: bytes) -> Any:
    """The model in a file of the quantizer, which puts the numbers of larger ones behind what it is a table of."""
    model = parse(content)
    for buffer in model.buffers:
        if buffer.offset:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def _name(model: Any) -> None:
    """Name the tensors of a model by how fine they have to be."""
    graph = model.subgraphs[0]
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    kind = partial(_kind, model)

    def back(index: int) -> Iterator[tuple[int, Any]]:
        """The operators before a tensor, along the first operand of each that is computed."""
        while index in makers:
            yield index, makers[index]
            index = next((each for each in makers[index].inputs if each in makers), -1)

    roles: dict[int, str] = {}
    for root in (each for each in graph.operators if kind(each) in ("RSQRT", "SQRT")):
        steps = list(back(root.outputs[0]))
        squares = [number for number, (_, each) in enumerate(steps) if _is_square(each, kind)]
        means = [number for number, (_, each) in enumerate(steps) if kind(each) in ("MEAN", "SUM")]
        if squares and means and means[0] < squares[0]:
            roles |= {index: EXACT for index, _ in steps[: means[0]]}
            roles |= {index: WIDE for index, _ in steps[means[0] : squares[0] + 1]}
    for operator in graph.operators:
        if kind(operator) in CHANNEL_AXIS and _has_one_step(model, operator.inputs[1]):
            roles[operator.outputs[0]] = WHOLE
        computed = [index for index in operator.inputs if index in makers or index in graph.inputs]
        if computed and all(roles.get(index) == EXACT for index in computed):
            roles[operator.outputs[0]] = EXACT
    for index, tensor in enumerate(graph.tensors):
        if index not in (*graph.inputs, *graph.outputs):
            tensor.name = f"{roles.get(index, 'tensor')}{index}_"


def _has_one_step(model: Any, index: int) -> bool:
    """Whether weights are multiples of one step for all channels, as a package has them behind no normalisation."""
    weights = model.buffers[model.subgraphs[0].tensors[index].buffer].data.view(np.float32)
    levels = weights / max(float(np.abs(weights).max()), float(np.finfo(np.float32).tiny)) * MOST
    return bool(np.abs(levels - levels.round()).max() < ROUNDING)


def _weights(model: Any) -> dict[str, dict[str, np.ndarray]]:
    """How far the weights of each channel go, as the quantizer takes it: no less than a share of the largest.

    Where all of a channel are zero, pruned, its step would be so small that its bias does not fit 32 bits.
    """
    graph, found = model.subgraphs[0], {}
    for operator in graph.operators:
        axis = CHANNEL_AXIS.get(_kind(model, operator))
        if axis is None or name_of(graph.tensors[operator.outputs[0]].name).startswith(WHOLE):
            continue
        tensor = graph.tensors[operator.inputs[1]]
        weights = np.abs(model.buffers[tensor.buffer].data.view(np.float32).reshape(tensor.shape))
        most = weights.max(axis=tuple({*range(4)} - {axis}), keepdims=True)
        most = np.maximum(most, LEAST_SHARE * (weights.max() or 1))
        found[name_of(tensor.name)] = {"min": -most, "max": most}
    return found


def _kind(model: Any, operator: Any) -> str:
    """The name of what an operator does."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    return names[model.operatorCodes[operator.opcodeIndex].builtinCode]


def _trained(model: Any) -> dict[str, dict[str, np.ndarray]]:
    """How far each tensor goes in a network that was trained for it, as the quantizer takes it; nothing of another.

    What was said of them is taken out of the model.
    """
    graph, found = model.subgraphs[0], {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.quantization is not None and tensor.quantization.min is not None:
            found[index] = float(tensor.quantization.min[0]), float(tensor.quantization.max[0])
        tensor.quantization = None
    if not found:
        return {}
    for operators, one, other in ((graph.operators, 0, 1), (reversed(graph.operators), 1, 0)):
        for operator in operators:
            ends = operator.inputs[0], operator.outputs[0]
            if _kind(model, operator) in SAME and ends[one] in found:
                found.setdefault(ends[other], found[ends[one]])
    for operator in graph.operators:
        tensor = graph.tensors[operator.outputs[0]]
        if operator.outputs[0] not in found and not name_of(tensor.name).startswith(EXACT):
            raise UserError("a tensor of the file has no counterpart among the activations of the network's training")
    return {
        name_of(graph.tensors[index].name): {
            name: np.full((1,) * len(graph.tensors[index].shape), value, np.float32)
            for name, value in zip(("min", "max"), ends, strict=True)
        }
        for index, ends in found.items()
    }


def _is_square(operator: Any, kind: Any) -> bool:
    return kind(operator) == "MUL" and operator.inputs[0] == operator.inputs[1]


def _ranges(content: bytes, clips: Iterable[np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The least and the largest number of each activation over clips, with the margin, as the quantizer takes them.

    Its own calibration averages the extremes of clips, so that half of the clips go beyond them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = parse(content).subgraphs[0]
    computed = [*graph.inputs, *(each.outputs[0] for each in graph.operators)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    interpreter.allocate_tensors()
    extremes = np.tile([np.inf, -np.inf], (len(computed), 1))
    for clip in clips:
        interpreter.set_tensor(graph.inputs[0], clip.reshape(graph.tensors[graph.inputs[0]].shape))
        interpreter.invoke()
        for row, index in zip(extremes, computed, strict=True):
            values = interpreter.get_tensor(index)
            row[:] = min(row[0], values.min()), max(row[1], values.max())
    extremes *= 1 + MARGIN
    ranges = {}
    for (least, most), index in zip(extremes, computed, strict=True):
        shape = (1,) * len(graph.tensors[index].shape)
        ranges[graph.tensors[index].name.decode()] = {
            "min": np.full(shape, least, np.float32),
            "max": np.full(shape, most, np.float32),
        }
    return ranges
