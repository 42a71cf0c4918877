"""From sound files to scenes with a trained model: `Predictor` for programs, the command `asc` for people."""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from asc_core.cores import usable_cores
from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.progress import track

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

# What is looked for in a folder; a file that is named is tried whatever its suffix.
SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"}
LIMITS = {"KB = 1024": 131_072, "KB = 1000": 128_000}  # two readings of the challenge's 128 KB
CALIBRATION_CLIPS = 64

Logits = Callable[[np.ndarray], np.ndarray]
Prediction = tuple[Path, list[tuple[str, float]]]  # a file, and its most probable labels with their probabilities


class Engine(StrEnum):
    """What computes the network."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


class Predictor:
    """A model that is ready to hear: `predictor(path)` is the probability of each of its `labels`: (labels,) float64.

    Threads may share one.

    Args:
        path: a package (`.asc`), or what was exported from one (`.onnx`).
        engine: `auto` is ONNX Runtime where it is installed (a package is exported in memory), else torch.
        threads: of ONNX Runtime (several pay for large networks only); torch keeps to its own setting.

    Raises:
        UserError: the file is missing, foreign or damaged, or the engine is not there or cannot compute it.
    """

    def __init__(self, path: Path, engine: Engine = Engine.auto, threads: int = 1) -> None:
        from asc_core.frontend import Frontend

        self._logits, description = _load(path, engine, threads)
        try:
            self.labels = [str(label) for label in description["labels"]]
            self.frontend = Frontend(description)
        except (UserError, LookupError, TypeError) as error:
            raise UserError(f"{path}: not a usable model: {error}") from None

    def __call__(self, path: Path) -> np.ndarray:
        """The softmax of the mean of the logits of a sound file's windows.

        Raises:
            UserError: the file cannot be decoded, or holds no sample or a non-finite one.
        """
        logits = np.stack([self._logits(window[None])[0] for window in self.frontend(path)])
        return _softmax(logits.mean(axis=0, dtype=np.float64))


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def _load(path: Path, engine: Engine, threads: int) -> tuple[Logits, dict[str, Any]]:
    """The function from features (1, 1, mel, frame) to logits (1, labels) that a model file is, and its description."""
    if path.suffix == ".onnx":
        if engine is Engine.torch:
            raise UserError(f"{path}: torch computes packages, not ONNX graphs; use another engine")
        try:
            return _in_onnx_runtime(path, _read_bytes(path), threads)
        except ModuleNotFoundError as error:
            raise UserError(f"{path}: {error.name} is not installed; install it, or use the package") from None
    from asc_core.compression import package

    network, description = package.read(path)
    if engine is not Engine.torch:
        try:
            return _in_onnx_runtime(path, _exported(path, network, description), threads)
        except ModuleNotFoundError as error:
            if engine is Engine.onnx:
                raise UserError(f"engine onnx: {error.name} is not installed; install it, or use torch") from None
    return _in_torch(network), description


def _exported(path: Path, network: "nn.Module", description: dict[str, Any]) -> bytes:
    import onnxruntime  # noqa: F401  # before any work for it

    from asc_core.export import to_onnx

    try:
        return to_onnx(network, description)
    except UserError as error:
        raise UserError(f"{path}: not a usable model: {error}") from None


def _in_torch(network: "nn.Module") -> Logits:
    import torch

    def logits(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(features)).numpy()

    return logits


def _in_onnx_runtime(path: Path, graph: bytes, threads: int) -> tuple[Logits, dict[str, Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        description = json.loads(session.get_modelmeta().custom_metadata_map["asc"])
    except Exception as error:  # what ONNX Runtime raises has no base of its own
        reason = "nothing says what it was trained on" if isinstance(error, LookupError) else str(error).splitlines()[0]
        raise UserError(f"{path}: not a graph that `asc export` has written ({reason})") from None
    return lambda features: session.run(["logits"], {"features": features})[0], description


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


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
    from tqdm import tqdm

    tqdm.write(f"asc: error: {error}", file=sys.stderr)  # above a progress bar, if there is one


def _print_table(predictions: Iterable[Prediction]) -> None:
    table = _table("file", "scene", "probability")
    for path, labels in predictions:
        for place, (label, probability) in enumerate(labels):
            table.add_row("" if place else str(path), label, f"{probability:.3f}")
    if table.rows:
        _show(table)


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
    facts = _table("", "")
    for key, value in _flat({key: value for key, value in told.items() if key not in ("account", "totals", "limits")}):
        facts.add_row(key, value)
    _show(facts)
    if "account" not in told:
        return
    account = _table("layer", "parameters", "non-zero", "bits", "bytes")
    for row in told["account"]:
        account.add_row(*(_text(value) for value in row.values()))
    totals = told["totals"]
    account.add_section()
    sums = [totals["parameters"], totals["nonzero_parameters"], "", totals["counted_bytes"]]
    account.add_row("total", *(_text(value) for value in sums))
    _show(account)
    for reading, limit in told["limits"].items():
        verdict = "met" if limit["met"] else "exceeded"
        print(f"limit of 128 KB, {reading}: {limit['bytes']:,} bytes, {limit['used_percent']:.1f}% used, {verdict}")


def describe(path: Path) -> dict[str, Any]:
    """A model file as JSON: `file`, `file_bytes`, its description, and of a package the size account.

    Raises:
        UserError: the file is missing, foreign or damaged.
    """
    from asc_core.compression import package, size

    if path.suffix == ".onnx":  # it holds float32 weights: the account is the package's
        _, description = _load(path, Engine.onnx, threads=1)
        return {"file": str(path), "file_bytes": path.stat().st_size, **description}
    network, description = package.read(path)
    rows = [
        {
            "name": row.name,
            "parameters": row.parameters,
            "nonzero": row.nonzero,
            "bits": row.bits,
            "counted_bytes": row.counted_bytes,
        }
        for row in size.account(network)
    ]
    totals = size.totals(network)
    used = totals["counted_bytes"]
    limits = {
        reading: {"bytes": limit, "used_percent": round(100 * used / limit, 2), "met": used <= limit}
        for reading, limit in LIMITS.items()
    }
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        **description,
        "account": rows,
        "totals": totals,
        "limits": limits,
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts, each with the path to it."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(*columns: str) -> "Table":
    """A table whose first column is text, and whose others are numbers where they are titled and not scenes."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for place, column in enumerate(columns):
        right = place > 0 and column not in ("", "scene")
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _show(table: "Table") -> None:
    from rich.console import Console

    # In a file or a pipe nothing is folded, however long; names are no markup.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


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
        graph = _exported(model, network, description)
        if calibrate is not None:
            graph = _int8(model, graph, description, calibrate)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; install it to export") from None
    with replacing(out) as temporary:
        temporary.write_bytes(graph)


def _int8(model: Path, graph: bytes, description: dict[str, Any], folder: Path) -> bytes:
    """The int8 graph, after telling how it compares with the float32 one on the clips that it was calibrated with."""
    from asc_core.export import to_int8
    from asc_core.frontend import Frontend

    files = list(_sound_files([folder]))
    if not files:
        raise UserError(f"{folder}: no sound file in it")
    frontend = Frontend(description)
    step = -(-len(files) // CALIBRATION_CLIPS)
    clips = [frontend(file)[:1] for file in track(files[::step], len(files[::step]), "calibrate")]
    quantized = to_int8(graph, clips)
    float32, int8 = (_in_onnx_runtime(model, each, threads=1)[0] for each in (graph, quantized))
    slower, agree, furthest = [], 0, 0.0
    for clip in clips:
        float32(clip), int8(clip)  # warm
        times, results = [], []
        for logits in (float32, int8):
            start = time.perf_counter()
            results.append(_softmax(logits(clip)[0]))
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
