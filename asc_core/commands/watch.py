"""`asc watch`: whether new recordings are like those that a model was trained on."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_core.cli import tell
from asc_core.commands.sounds import sound_files
from asc_core.commands.tables import add_row, print_table, table
from asc_core.commands.watch_page import Watched, quantity, told, watch_page
from asc_core.cores import usable_cores
from asc_core.corpus.layout import NAME_GRAMMAR
from asc_core.drift.compare import Shift, compare
from asc_core.drift.reference import Reference, read, spectrum
from asc_core.errors import UserError
from asc_core.features.audio import read_header
from asc_core.files import replacing

if TYPE_CHECKING:
    import numpy as np

    from asc_core.deploy.predictor import Predictor

REFERENCE = "reference.safetensors"  # beside a model, unless another file is named
REPORTS = Path("reports/watch")


@dataclass(frozen=True)
class Heard:
    """One sound file: its recording, spectrum (groups,), the model's largest probability, and its rate in Hz."""

    recording: str
    spectrum: "np.ndarray"
    confidence: float
    rate: int


def watch(
    model: Annotated[
        Path, typer.Argument(help="A package (.asc), or what was exported from one (.onnx, .tflite).", metavar="MODEL")
    ],
    paths: Annotated[
        list[Path], typer.Argument(help="New sound files of one device, and folders.", metavar="FILE_OR_FOLDER...")
    ],
    reference: Annotated[Path | None, typer.Option(help=f"What training heard; else {REFERENCE} beside MODEL.")] = None,
    limit: Annotated[float, typer.Option(help="The chance of a false alarm.", min=1e-9, max=0.5)] = 0.01,
    least: Annotated[float, typer.Option(help="A distance below which nothing has moved.", min=0, max=1)] = 0.2,
    reports: Annotated[
        Path, typer.Option(help="The folder for a page and for JSON, both named as the first folder of recordings.")
    ] = REPORTS,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Whether new recordings, without labels, are still like those that a model was trained on.

    Spectra and the model's confidence are compared with those of each training device, recording by recording: files
    are recordings of their own, unless they are named as those of a corpus are. Where the recordings fit no device of
    training, or a sample rate is one that training never heard, the exit code is 1 and a line says what has moved. A
    file that cannot be used is told on standard error and left out.
    """
    import torch

    from asc_core.deploy.predictor import Predictor

    torch.set_num_threads(1)  # each core hears files of its own
    before, predictor = read(reference or model.with_name(REFERENCE)), Predictor(model)
    heard = list(hear(predictor, paths))
    shift, rates = judge(before, heard, limit, least)
    watched = Watched(
        str(model), str(paths[0]), before, shift, edges(predictor, before.spectra.shape[1]), rates, limit, least
    )
    told_as_json = json.dumps({**asdict(shift), "rates_never_heard": rates, "limit": limit, "least": least}, indent=2)
    name = re.sub(r"[^\w.-]+", "-", paths[0].resolve().name)
    page = reports / f"{name}.html"
    for path, text in ((reports / f"{name}.json", told_as_json), (page, watch_page(watched))):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if as_json:
        print(told_as_json)
    else:
        show(watched)
        print(f"report: {page}, for a browser")
    if problems := told(watched):
        raise UserError(f"{paths[0]}: {' and '.join(problems)}; results on these recordings cannot be relied on")


def hear(predictor: "Predictor", paths: list[Path]) -> Iterator[Heard]:
    """What is to be compared of each sound file; one that cannot be used is told and left out."""

    def attempt(item: Path | UserError) -> Heard | UserError:
        if isinstance(item, UserError):
            return item
        try:
            return heard_of(predictor, item)
        except UserError as error:
            return error

    with ThreadPoolExecutor(usable_cores()) as pool:
        for result in pool.map(attempt, sound_files(paths)):
            if isinstance(result, UserError):
                tell(result)
            else:
                yield result


def heard_of(predictor: "Predictor", path: Path) -> Heard:
    """What is to be compared of a sound file.

    Raises:
        UserError: it cannot be used.
    """
    import numpy as np

    means: list[np.ndarray] = []

    def windows() -> Iterator[np.ndarray]:
        for window in predictor.frontend.windows(path):
            means.append(window.mean(axis=(0, 2)))  # (mel,)
            yield window

    confidence = float(predictor.probabilities(windows(), str(path)).max())
    # Of files that are named as those of a corpus, all of one location are a recording.
    named = re.match(NAME_GRAMMAR, f"audio/{path.name}")
    recording = str(path.parent / "-".join(named.group("scene", "city", "location"))) if named else str(path)
    return Heard(recording, spectrum(np.mean(means, axis=0)), confidence, read_header(path).sample_rate or 0)


def judge(before: Reference, heard: list[Heard], limit: float, least: float) -> tuple[Shift, list[int]]:
    """How recordings compare with the reference, and their sample rates that it does not have.

    Raises:
        UserError: there are too few recordings.
    """
    import numpy as np

    recordings: dict[str, list[Heard]] = {}
    for each in heard:
        recordings.setdefault(each.recording, []).append(each)
    spectra = np.array([np.mean([each.spectrum for each in files], axis=0) for files in recordings.values()])
    confidences = np.array([np.mean([each.confidence for each in files]) for files in recordings.values()])
    shift = compare(before, spectra, confidences, limit, least)
    return shift, sorted({each.rate for each in heard} - set(before.rates))


def edges(predictor: "Predictor", groups: int) -> list[tuple[float, float]]:
    """From where to where each group of mel bands reaches, in Hz."""
    import librosa
    import numpy as np

    config = predictor.frontend.config
    centres = librosa.mel_frequencies(config.n_mels + 2, fmax=config.sample_rate / 2)[1:-1]
    return [(float(part[0]), float(part[-1])) for part in np.array_split(centres, groups)]


def show(watched: Watched) -> None:
    """The comparison as a table for people."""
    rows: Any = table("spectrum, nepers above its mean", "training", "now", "distance", "p", "moved")
    for row in watched.shift.rows:
        cells = (f"{row.before:.2f}", f"{row.now:.2f}", f"{row.distance:.2f}", f"{row.p:.2g}")
        add_row(rows, quantity(watched, row), *cells, "yes" if row in watched.shift.moved else "")
    print(f"{watched.shift.recordings} recordings; of the devices of training most like {watched.shift.device}.")
    print_table(rows)
