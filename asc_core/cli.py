"""The command `asc`: scenes of sound files, what a model says of itself, and its export to ONNX."""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from asc_core.cores import usable_cores
from asc_core.deploy.info import describe, print_table, show, table
from asc_core.deploy.predictor import Engine, Predictor, exported, in_onnx_runtime, softmax
from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.progress import note, track

# What is looked for in a folder; a file that is named is tried whatever its suffix.
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"}
CALIBRATION_CLIPS = 64

Prediction = tuple[Path, list[tuple[str, float]]]  # a file, and its most probable labels with their probabilities

app = typer.Typer(
    help="Acoustic scenes: predict them, and look into and export the models that do.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Model = Annotated[Path, typer.Argument(help="A package (.asc) or what was exported from one (.onnx).", metavar="MODEL")]


class Format(StrEnum):
    """How predictions are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


@app.command()
def predict(
    model: Model,
    paths: Annotated[list[Path], typer.Argument(help="Sound files, and folders of them.", metavar="FILE_OR_FOLDER...")],
    top: Annotated[int, typer.Option(help="How many labels for each file.", min=1)] = 1,
    format: Annotated[Format, typer.Option(help="A table, or CSV or JSON lines for programs.")] = Format.table,
    engine: Annotated[Engine, typer.Option(help="auto: ONNX Runtime where it is installed.")] = Engine.auto,
) -> None:
    """The scene of each sound file, with its probability.

    Files may have any sample rate, channel count and format that libsndfile reads. One that is shorter than the clips
    the model was trained on is repeated to their length; of a longer one every whole window of that length counts.
    A file that cannot be read is told on standard error, the others go on, and the exit code is 1.
    """
    import torch

    torch.set_num_threads(1)  # each core hears files of its own, which beats sharing the milliseconds that one takes
    predictor = Predictor(model, engine)
    files = list(_sound_files(paths))
    if not files:
        raise UserError(f"{paths[0]}: no sound file in it")
    rows_are_progress = format is not Format.table and sys.stdout.isatty()
    show = any(path.is_dir() for path in paths) and not rows_are_progress
    failures = 0

    def attempt(path: Path) -> np.ndarray | UserError:
        try:
            return predictor(path)
        except UserError as error:
            return error

    def predictions() -> Iterator[Prediction]:
        nonlocal failures
        with ThreadPoolExecutor(usable_cores()) as pool:
            try:
                results = pool.map(attempt, files)
                for path, result in zip(files, track(results, len(files), "predict") if show else results, strict=True):
                    if isinstance(result, UserError):
                        failures += 1
                        _tell(result)
                        continue
                    order = np.argsort(-result, kind="stable")[:top]
                    yield path, [(predictor.labels[place], float(result[place])) for place in order]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    PRINTERS[format](predictions())
    if failures:
        raise typer.Exit(1)


def _sound_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files of `paths`, and in place of each folder the sound files below it, by name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            yield path


def _tell(error: UserError) -> None:
    note(f"asc: error: {error}")


def _print_table(predictions: Iterable[Prediction]) -> None:
    rows = table("file", "scene", "probability")
    for path, labels in predictions:
        for place, (label, probability) in enumerate(labels):
            rows.add_row("" if place else str(path), label, f"{probability:.3f}")
    if rows.rows:
        print_table(rows)


def _print_csv(predictions: Iterable[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "rank", "label", "probability"])
    for path, labels in predictions:
        writer.writerows(
            (path, rank, label, f"{probability:.6f}") for rank, (label, probability) in enumerate(labels, start=1)
        )


def _print_jsonl(predictions: Iterable[Prediction]) -> None:
    for path, labels in predictions:
        top = [{"label": label, "probability": round(probability, 6)} for label, probability in labels]
        print(json.dumps({"file": str(path), **top[0], "top": top}))


PRINTERS: dict[Format, Callable[[Iterable[Prediction]], None]] = {
    Format.table: _print_table,
    Format.csv: _print_csv,
    Format.jsonl: _print_jsonl,
}


@app.command()
def info(
    model: Model, as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False
) -> None:
    """What a model says of itself: labels, features, network, size, and whatever else was packed with it."""
    told = describe(model)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    show(told)


@app.command()
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

    if int8 != (calibrate is not None):
        raise UserError("--int8 and --calibrate FOLDER go together: the folder shows what range the activations have")
    if out.suffix != ".onnx":
        raise UserError(f"{out}: the name of an ONNX graph ends in .onnx")
    network, description = package.read(model)
    try:
        graph = exported(model, network, description)
        if calibrate is not None:
            graph = _int8(model, graph, description, calibrate)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; install it to export") from None
    with replacing(out) as temporary:
        temporary.write_bytes(graph)


def _int8(model: Path, graph: bytes, description: dict[str, Any], folder: Path) -> bytes:
    """The int8 graph, after telling how it compares with the float32 one on the clips that it was calibrated with."""
    from asc_core.deploy.onnx import to_int8
    from asc_core.features.frontend import Frontend

    files = list(_sound_files([folder]))
    if not files:
        raise UserError(f"{folder}: no sound file in it")
    frontend = Frontend(description)
    step = -(-len(files) // CALIBRATION_CLIPS)
    clips = [frontend.read(file)[:1] for file in track(files[::step], len(files[::step]), "calibrate")]
    quantized = to_int8(graph, clips)
    float32, int8 = (in_onnx_runtime(model, each, threads=1)[0] for each in (graph, quantized))
    slower, agree, furthest = [], 0, 0.0
    for clip in clips:
        float32(clip), int8(clip)  # warm
        times, results = [], []
        for logits in (float32, int8):
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


def main(arguments: list[str] | None = None) -> None:
    """The command `asc`: exit code 0, or 1 after a line that says what is wrong."""
    try:
        app(arguments)
    except UserError as error:
        _tell(error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
