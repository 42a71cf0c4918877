"""`asc export`: a package as an ONNX graph."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from asc_core.commands.sounds import sound_files
from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.progress import track

CALIBRATION_CLIPS = 64


def export(
    model: Annotated[Path, typer.Argument(help="A package (.asc).", metavar="MODEL")],
    out: Annotated[Path, typer.Argument(help="The ONNX file to write.", metavar="OUT.onnx")],
    int8: Annotated[bool, typer.Option("--int8", help="Convolutions in int8; compares it with float32.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(help="With --int8: a folder of sound like that to predict.", metavar="FOLDER")
    ] = None,
) -> None:
    """Write a package as an ONNX graph that says of itself what the package does."""
    from asc_core.compression import package
    from asc_core.deploy.graph import check
    from asc_core.deploy.predictor import exported

    if int8 != (calibrate is not None):
        raise UserError("--int8 and --calibrate FOLDER go together: the folder shows what range the activations have")
    if out.suffix != ".onnx":
        raise UserError(f"{out}: the name of an ONNX graph ends in .onnx")
    network, description = package.read(model)
    graph = exported(model, network, description)
    if calibrate is not None:
        graph = _int8(model, graph, description, calibrate)
    try:
        check(graph)
    except UserError as error:
        raise UserError(f"{model}: cannot be exported as a graph that would be used again: {error}") from None
    with replacing(out) as temporary:
        temporary.write_bytes(graph)


def _int8(model: Path, graph: bytes, description: dict[str, Any], folder: Path) -> bytes:
    """The int8 graph, after telling how it compares with the float32 one on the clips that it was calibrated with."""
    from asc_core.deploy.onnx import to_int8
    from asc_core.deploy.predictor import in_onnx_runtime, softmax

    clips = _clips(folder, description)
    quantized = to_int8(graph, clips)
    float32, integers = (in_onnx_runtime(model, each, threads=1) for each in (graph, quantized))
    slower, agree, furthest = [], 0, 0.0
    for clip in clips:
        float32(clip), integers(clip)  # warm
        times, results = [], []
        for logits in (float32, integers):
            start = time.perf_counter()
            results.append(softmax(logits(clip)[0]))
            times.append(time.perf_counter() - start)
        slower.append(times[1] / times[0])
        one, other = results
        agree += int(one.argmax() == other.argmax())
        furthest = max(furthest, float(np.abs(one - other).max()))
    ratio = float(np.median(slower))
    told = f"{ratio:.2f} times its time on one core, the same scene in {agree}, probabilities within {furthest:.3f}"
    advice = "; float32 is the better choice here" if ratio >= 1 else ""
    print(f"int8 against float32 on {len(clips)} clips: {told}{advice}", file=sys.stderr)
    return quantized


def _clips(folder: Path, description: dict[str, Any]) -> list[np.ndarray]:
    """The features (1, 1, mel, frame) of the beginnings of some sound files of a folder."""
    from asc_core.features.frontend import Frontend

    files = list(sound_files([folder]))
    if not files:
        raise UserError(f"{folder}: no sound file in it")
    frontend = Frontend(description)
    chosen = files[:: -(-len(files) // CALIBRATION_CLIPS)]
    clips = []
    for item in track(chosen, len(chosen), "calibrate"):
        if isinstance(item, UserError):
            raise item
        clips.append(next(frontend.windows(item))[None])
    return clips
