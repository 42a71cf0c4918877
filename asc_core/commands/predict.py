"""`asc predict`: the scene of each sound file."""

import contextlib
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_core.cli import tell
from asc_core.commands.output import Prediction, print_csv, print_jsonl, print_table, tell_device
from asc_core.commands.sounds import sound_files
from asc_core.cores import usable_cores
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.progress import track

if TYPE_CHECKING:
    import numpy as np


class Format(StrEnum):
    """How predictions are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


PRINTERS = {Format.table: print_table, Format.csv: print_csv, Format.jsonl: print_jsonl}


def predict(
    model: Annotated[
        Path, typer.Argument(help="A package (.asc), or what was exported from one (.onnx, .tflite).", metavar="MODEL")
    ],
    paths: Annotated[list[Path], typer.Argument(help="Sound files, and folders of them.", metavar="FILE_OR_FOLDER...")],
    top: Annotated[int, typer.Option(help="How many labels for each file.", min=1)] = 1,
    format: Annotated[Format, typer.Option(help="A table, or CSV or JSON lines for programs.")] = Format.table,
    engine: Annotated[Engine, typer.Option(help="auto: what a file is for; ONNX Runtime, if installed.")] = Engine.auto,
    device: Annotated[
        str | None, typer.Option(help="What recorded the files: its own network answers, if there is one.")
    ] = None,
) -> None:
    """The scene of each sound file, with its probability.

    Files may have any sample rate, channel count and format that libsndfile reads. One that is shorter than the clips
    the model was trained on is repeated to their length; of a longer one every whole window of that length counts.
    In folders what is hidden is left out, and links are followed. A file that cannot be used is told on standard error,
    the others go on, and the exit code is 1. Tables and CSV show signs that no terminal can as backslash escapes.
    """
    import torch

    if Path("-") in paths:
        raise UserError(f"-: a stream is heard by `asc listen {model} -`")
    torch.set_num_threads(1)  # each core hears files of its own, which beats sharing the milliseconds that one takes
    predictor = Predictor(model, engine, device=device)
    tell_device(model, device, predictor.device)
    found = list(sound_files(paths))
    if not found:
        raise UserError(f"{paths[0]}: no sound file in it")
    rows_are_progress = format is not Format.table and sys.stdout.isatty()
    shows_progress = any(path.is_dir() for path in paths) and not rows_are_progress
    failures: list[UserError] = []

    def predictions() -> Generator[Prediction]:
        results = attempts(predictor, found)
        for item, result in track(results, len(found), "predict") if shows_progress else results:
            if isinstance(result, UserError):
                failures.append(result)
                tell(result)
            else:
                order = (-result).argsort(kind="stable")[:top]
                yield str(item), [(predictor.labels[index], float(result[index])) for index in order]

    with contextlib.closing(predictions()) as rows:  # whatever ends the printing ends the predicting
        PRINTERS[format](rows)
    if failures:
        raise typer.Exit(1)


def attempts(
    predictor: Predictor, found: list[Path | UserError]
) -> Iterator[tuple[Path | UserError, "np.ndarray | UserError"]]:
    """Each of `found` with its probabilities (labels,), or with what is wrong with it; on all cores, in order."""
    stopped = threading.Event()

    def windows(path: Path) -> Iterator["np.ndarray"]:
        for window in predictor.frontend.windows(path):
            if stopped.is_set():  # a file may last for hours, and nobody waits for it any more
                raise UserError(f"{path}: stopped")
            yield window

    def attempt(item: Path | UserError) -> "np.ndarray | UserError":
        if isinstance(item, UserError):
            return item
        try:
            return predictor.probabilities(windows(item), str(item))
        except UserError as error:
            return error
        except Exception as error:  # whatever else this file brings about is told as its own, and the others go on
            return UserError(f"{item}: cannot be used ({type(error).__name__}: {error})")

    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            yield from zip(found, pool.map(attempt, found), strict=True)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
