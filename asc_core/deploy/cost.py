"""What a model costs on a device: bytes of its file, of memory at the peak, and multiply-accumulates."""

import math
from pathlib import Path
from typing import Any

from asc_core.deploy.predictor import FILES, Engine
from asc_core.features.frontend import features_of, shape_of


def costs(path: Path) -> dict[str, Any]:
    """What a package, or what was exported from one, costs for one clip of the training's length.

    Returns:
        file, file_bytes: what is kept in flash.
        macs, macs_per_second: multiply-accumulates for a clip, and for a second of its sound.
        ram_bytes: about the bytes that LiteRT for Microcontrollers takes for activations and for the graph's structure,
            by the numbers they are in: `float32`, `int8`; of a package both, of a file its own (`memory.estimate`).
        arena_bytes: the same of a LiteRT file as its interpreter says, where it is installed; else None.

    Raises:
        UserError: the file is missing, foreign or damaged.
        ModuleNotFoundError: what reads such a file is not installed.
    """
    arena = None
    if FILES.get(path.suffix) is Engine.litert:
        description, macs, ram, arena = _of_tflite(path)
    elif path.suffix in FILES:
        description, macs, ram = _of_onnx(path)
    else:
        description, macs, ram = _of_package(path)
    _, seconds = features_of(description)
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "macs": macs,
        "macs_per_second": round(macs / seconds),
        "ram_bytes": ram,
        "arena_bytes": arena,
    }


def _of_package(path: Path) -> tuple[dict[str, Any], int, dict[str, int]]:
    import onnx

    from asc_core.compression import package
    from asc_core.deploy import memory
    from asc_core.deploy.graph import with_shapes
    from asc_core.deploy.predictor import exported
    from asc_core.models.macs import macs

    network, description = package.read(path)
    shape = shape_of(description)
    content = exported(path, network, description, Engine.onnx)
    ram = memory.estimate(*with_shapes(onnx.load_from_string(content), (1, *shape)))
    return description, macs(network, shape), ram


def _of_onnx(path: Path) -> tuple[dict[str, Any], int, dict[str, int]]:
    import onnx

    from asc_core.deploy import graph, memory

    content, description = graph.read(path)
    inferred, shapes = graph.with_shapes(onnx.load_from_string(content), (1, *shape_of(description)))
    macs = sum(
        math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        for node in inferred.node
        if node.op_type == "Conv"
    )
    return description, macs, {"float32": memory.estimate(inferred, shapes)["float32"]}


def _of_tflite(path: Path) -> tuple[dict[str, Any], int, dict[str, int], int | None]:
    from asc_core.deploy.tflite import cost, micro, reading

    content, description = reading.read(path)
    graph = reading.graph_of(content)
    ram = {graph.tensors[graph.inputs[0]].kind.lower(): cost.arena(graph)}
    try:
        arena = micro.arena(content)
    except ModuleNotFoundError:
        arena = None
    return description, reading.macs(graph), ram, arena
