"""`asc listen`: the scene of sound as it comes, a line for each decision."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from asc_core.commands.output import print_json, tell_device
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.features.audio import HIGHEST_RATE, LOWEST_RATE, at_rate, read_blocks
from asc_core.features.config import FeatureConfig
from asc_core.features.streams import Encoding, read_microphone, read_raw
from asc_core.text import printable

STREAM = Path("-")


def listen(
    model: Annotated[
        Path, typer.Argument(help="A package (.asc), or what was exported from one (.onnx, .tflite).", metavar="MODEL")
    ],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="- is raw samples on standard input; or a sound file; else a microphone.", metavar="SOURCE"
        ),
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from one decision to the next, in whole frames; a second, or a clip.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(help="Of samples as they come, in Hz; else the model's.", min=LOWEST_RATE, max=HIGHEST_RATE),
    ] = None,
    encoding: Annotated[
        Encoding, typer.Option(help="Of raw samples, by ffmpeg's names.", case_sensitive=False)
    ] = Encoding.s16le,
    channels: Annotated[int, typer.Option(help="Of raw samples; their mean is heard.", min=1, max=64)] = 1,
    microphone: Annotated[str | None, typer.Option(help="Its name, or a part of it.")] = None,
    top: Annotated[int, typer.Option(help="How many labels for each decision.", min=1)] = 1,
    json_lines: Annotated[bool, typer.Option("--json", help="JSON lines for programs.")] = False,
    engine: Annotated[Engine, typer.Option(help="auto: what a file is for; ONNX Runtime, if installed.")] = Engine.auto,
    device: Annotated[str | None, typer.Option(help="What records: its own network answers, if there is one.")] = None,
) -> None:
    """The scene of sound as it comes: of raw samples on standard input, of a microphone, or along a file.

    Each decision is about as much sound as the clips of the training have, up to the time that its line begins with.
    A stream that ends before that is repeated, as a short file is. Lines appear at once; Ctrl-C ends it.
    """
    import torch

    torch.set_num_threads(1)  # a window takes milliseconds
    predictor = Predictor(model, engine, device=device)
    tell_device(model, device, predictor.device)
    config, length = predictor.frontend.config, predictor.frontend.length
    step = _step(hop, config, length)
    blocks = _sound(source, config.sample_rate, rate or config.sample_rate, encoding, channels, microphone)
    for number, features in enumerate(predictor.frontend.sliding(blocks, step)):
        probabilities = predictor.probabilities([features], str(source or "microphone"))
        order = (-probabilities).argsort(kind="stable")[:top]
        labels = [(predictor.labels[index], float(probabilities[index])) for index in order]
        end = (number * step + length) / config.sample_rate
        if json_lines:
            print_json({"seconds": round(end, 3)}, labels)
        else:
            told = "  ".join(f"{printable(label)} {probability:.3f}" for label, probability in labels)
            print(f"{end:>9.2f} s  {told}")
        sys.stdout.flush()


def _step(hop: float | None, config: FeatureConfig, length: int) -> int:
    """Samples from one decision to the next, a multiple of a frame's and at most a clip's `length`.

    Raises:
        UserError: `hop` seconds are no such number.
    """
    frame, rate = config.hop_length, config.sample_rate
    seconds = min(1.0, length / rate) if hop is None else hop
    most = length // frame
    frames = round(seconds * rate / frame) if 0 < seconds * rate < length + frame else 0
    if hop is None:
        frames = min(frames, most)
    if not 0 < frames <= most:
        raise UserError(f"--hop {hop:g}: needs from {frame / rate:g} to {most * frame / rate:g} s, a clip's length")
    return frames * frame


def _sound(
    source: Path | None, sample_rate: int, rate: int, encoding: Encoding, channels: int, microphone: str | None
) -> Iterator[np.ndarray]:
    """Mono samples (n,) at `sample_rate` Hz; what is wrong with them names where they come from."""
    if source is None:
        yield from at_rate(read_microphone(rate, microphone), rate, sample_rate)
    elif source == STREAM:
        if sys.stdin.isatty():
            raise UserError("standard input is a terminal; send raw samples to it: arecord -t raw ... | asc listen ...")
        try:
            with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
                yield from at_rate(read_raw(stream, rate, encoding, channels), rate, sample_rate)
        except UserError as error:
            raise UserError(f"standard input: {error}") from None
    else:
        yield from read_blocks(source, sample_rate)
