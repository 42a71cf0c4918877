"""`asc export`: a package as a graph for other runtimes, or as C for a microcontroller."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from asc_core.commands.sounds import sound_files
from asc_core.deploy.forms import in_integers
from asc_core.deploy.predictor import FILES, RUNNERS, Engine, exported, softmax
from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.progress import track

if TYPE_CHECKING:
    from torch import nn

CALIBRATION_CLIPS = 64


def export(
    model: Annotated[Path, typer.Argument(help="A package (.asc).", metavar="MODEL")],
    out: Annotated[
        Path | None,
        typer.Argument(help="The file to write, for ONNX Runtime or LiteRT.", metavar="[OUT.onnx|OUT.tflite]"),
    ] = None,
    c: Annotated[
        Path | None, typer.Option("--c", help="A new folder for C99: front end, network, an example.", metavar="DIR")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="In 8-bit integers (ONNX: the convolutions); compares it with float32.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="With --int8: a folder of sound like that to predict; not needed of a network trained for it.",
            metavar="FOLDER",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="The network of this device, not the general one.")] = None,
) -> None:
    """Write a package as a graph that says of itself what the package does, as C for a device, or as both."""
    from asc_core.compression import activations, package

    if calibrate is not None and not int8:
        raise UserError("--calibrate FOLDER goes with --int8")
    if out is None and c is None:
        raise UserError("name a file to write, or with --c a folder")
    if out is not None and out.suffix not in FILES:
        raise UserError(f"{out}: the name of a graph ends in {' or '.join(FILES)}")
    network, description = package.read(model, device)
    if device not in (None, description.get("tuned_to")):
        raise UserError(f"{model}: has no network for the device {device}; `asc info` lists those that it has one for")
    trained = activations.of(network) is not None
    if int8 and calibrate is None and not trained:
        raise UserError("--int8 needs --calibrate FOLDER: the folder shows what range the activations have")
    if int8 and trained and out is not None and FILES[out.suffix] is not Engine.litert:
        raise UserError(f"{out}: {model} was trained for 8 bit as LiteRT computes in them; export a .tflite")
    clips = None if not int8 else [] if calibrate is None else _clips(calibrate, description)
    if out is not None:
        graph = _graph(model, network, description, FILES[out.suffix], clips)
        with replacing(out) as temporary:
            temporary.write_bytes(graph)
    if c is not None:
        from asc_core.deploy.c.export import export_c

        export_c(network, description, c, _graph(model, network, description, Engine.litert, clips))


def _graph(
    model: Path, network: "nn.Module", description: dict[str, Any], engine: Engine, clips: list[np.ndarray] | None
) -> bytes:
    """The file for an engine, in int8 where there are clips to calibrate it with; none, where that was trained."""
    graph = exported(model, network, description, engine)
    if clips is not None:
        graph = _int8(model, engine, graph, clips)
    try:
        _check(engine)(graph)
    except UserError as error:
        raise UserError(f"{model}: cannot be exported as a graph that would be used again: {error}") from None
    return graph


def _check(engine: Engine) -> Callable[[bytes], Any]:
    """What holds a graph to that which is computed again."""
    if engine is Engine.litert:
        from asc_core.deploy.tflite.reading import check
    else:
        from asc_core.deploy.graph import check
    return check


def _int8(model: Path, engine: Engine, graph: bytes, clips: list[np.ndarray]) -> bytes:
    """The int8 graph, after telling how it compares with the float32 one on the clips that it was calibrated with."""
    quantized = in_integers(engine)(graph, clips)
    if not clips:
        return quantized
    float32, integers = (RUNNERS[engine](model, each, 1) for each in (graph, quantized))
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
