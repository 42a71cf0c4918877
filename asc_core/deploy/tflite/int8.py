"""A LiteRT file in 8-bit integers: weights, activations, what it takes and what it returns."""

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from asc_core.deploy.graph import METADATA
from asc_core.deploy.tflite import schema
from asc_core.deploy.tflite.builder import add_metadata, metadata, pack, parse, seal

# Beyond what was seen of an activation, as a share: what comes later goes further, and what is cut off costs more than
# the coarser step does.
MARGIN = 0.1
WIDE, EXACT = "wide", "exact"  # what the names of tensors that are not to be 8-bit begin with


def to_int8(content: bytes, clips: Iterable[np.ndarray]) -> bytes:
    """An exported float32 file in 8-bit integers: weights per channel, activations as `clips` range.

    Two things stay finer, as normalisations by a clip's own statistics (ResNorm) would not survive otherwise: squares
    and their mean are 16-bit integers, and the few numbers that are computed from them (the reciprocal of a deviation)
    32-bit floats. The description in its metadata gets `int8`: scale and zero point of "features" and "logits".

    Args:
        content: what `to_tflite` returns.
        clips: features (1, 1, mel, frame) of real sound.

    Raises:
        ModuleNotFoundError: LiteRT or its quantizer (the package ai-edge-quantizer) is not installed.
    """
    from ai_edge_quantizer import quantizer, recipe

    model = parse(content)
    _name(model)
    named = pack(model)
    (integers,), (wider,) = recipe.static_wi8_ai8(), recipe.static_wi8_ai16()
    rules = [
        integers,
        {**wider, "regex": f".*{WIDE}.*"},
        {**integers, "regex": f".*{EXACT}.*", "algorithm_key": "no_quantize"},
    ]
    ranges = _ranges(named, clips)
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
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    graph = model.subgraphs[0]
    makers = {operator.outputs[0]: operator for operator in graph.operators}

    def kind(operator: Any) -> str:
        return names[model.operatorCodes[operator.opcodeIndex].builtinCode]

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
        computed = [index for index in operator.inputs if index in makers or index in graph.inputs]
        if computed and all(roles.get(index) == EXACT for index in computed):
            roles[operator.outputs[0]] = EXACT
    for index, tensor in enumerate(graph.tensors):
        if index not in (*graph.inputs, *graph.outputs):
            tensor.name = f"{roles.get(index, 'tensor')}{index}_"


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
