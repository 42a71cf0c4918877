"""A rendered corpus in the layout of TAU Urban Acoustic Scenes 2020 Mobile, for running everything without a download.

The scenes follow the physics of their sources and the devices colour them as telephones do, but no figure obtained on
this corpus says anything about real recordings.
"""

import csv
import io
import math
import multiprocessing
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from asc_core.cores import usable_cores
from asc_core.corpus.config import SyntheticConfig
from asc_core.corpus.shares import SHARES, list_of, shares
from asc_core.corpus.synthetic.devices import DEVICES, TRAINING_DEVICES, through
from asc_core.corpus.synthetic.scenes import SCENES, recording
from asc_core.corpus.synthetic.sounds import RATE
from asc_core.errors import UserError
from asc_core.files import read_json, remove, replacing, write_json
from asc_core.progress import track

CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "paris", "prague", "stockholm", "vienna")
TEST_CITY = "milan"  # never in the training split
SEGMENTS = 3  # recordings made at one location of the training split
MARKER = "synthetic.json"
RENDERER = 1  # to be raised whenever the same configuration gives other sounds
LISTS = ("meta.csv", *(f"evaluation_setup/fold1_{name}.csv" for name in ("train", "test", "evaluate")))


@dataclass(frozen=True)
class Recording:
    """One stretch of sound and the devices through which it exists."""

    scene: str
    city: str
    location: int
    segment: int
    devices: tuple[str, ...]

    @property
    def identifier(self) -> str:
        return f"{self.city}-{self.location}"

    def filenames(self, device: str, parts: int | None) -> list[str]:
        """The file of the recording, or those of its parts."""
        stem = f"audio/{self.scene}-{self.identifier}-{self.segment}"
        return [f"{stem}-{device}.wav"] if parts is None else [f"{stem}-{part}-{device}.wav" for part in range(parts)]


def plan(config: SyntheticConfig) -> tuple[list[Recording], list[Recording]]:
    """The recordings of the training and of the test split, with locations and segments numbered across both."""
    train: list[Recording] = []
    test: list[Recording] = []
    locations = 0
    for number, scene in enumerate(SCENES):
        for index in range(config.train_recordings):
            # Every scene begins at another city, so that no city stands for a scene.
            city = CITIES[(number + index // SEGMENTS) % len(CITIES)]
            # The devices take turns, so that few recordings exist through several of them.
            copies = tuple(
                device
                for turn, device in enumerate(TRAINING_DEVICES[1:])
                if (index - turn * config.train_copies) % config.train_recordings < config.train_copies
            )
            segment = len(train) + len(test)
            train.append(Recording(scene, city, locations + index // SEGMENTS, segment, ("a", *copies)))
        locations += math.ceil(config.train_recordings / SEGMENTS)
        for index in range(config.test_recordings):
            city = CITIES[(number + index) % len(CITIES)] if index else TEST_CITY
            test.append(Recording(scene, city, locations + index, len(train) + len(test), tuple(DEVICES)))
        locations += config.test_recordings
    return train, test


def render(folder: Path, config: SyntheticConfig, *, workers: int | None = None) -> None:
    """Write the corpus of `config` into `folder`; the files do not depend on `workers`.

    An interrupted corpus is completed, one of another configuration replaced, a complete one left as it is.

    Args:
        folder: is made if need be; holds `meta.csv`, written last, `evaluation_setup/` and `audio/` (44.1 kHz, mono,
            24 bit) afterwards.
        config: size and seed.
        workers: processes; None means one per core this process may use.

    Raises:
        UserError: `folder` holds something that was not rendered here or cannot be written, or `workers` is less than
            1. What is rendered by then stays.
    """
    folder = Path(folder)
    if workers is not None and workers < 1:
        raise UserError(f"workers: must be at least 1, not {workers}")
    train, test = plan(config)
    _claim(folder, config)
    smallest = 3 * (_samples(config) // (config.parts or 1))  # bytes
    missing = [
        item for item in train + test if not all(_size(folder / name) > smallest for name in _names([item], config))
    ]
    if not missing and all(_size(folder / name) > 0 for name in LISTS):
        return
    remove(folder / "meta.csv")
    done = _each(partial(_write_recording, folder, config), missing, workers or usable_cores())
    for _ in track(done, len(missing), "Rendering the synthetic corpus", unit="recordings"):
        pass
    _write_lists(folder, config, train, test)


def _claim(folder: Path, config: SyntheticConfig) -> None:
    """Make `folder` ready for `config`: mark it as rendered here and remove what another configuration left."""
    marker = folder / MARKER
    wanted = {"renderer": RENDERER, "config": asdict(config)}
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the synthetic corpus")
    if not marker.exists():
        # A run killed while it wrote the marker leaves no more than the marker's temporary file.
        if folder.exists() and any(not path.name.startswith(f".{MARKER}.") for path in folder.iterdir()):
            raise UserError(f"{folder}: holds files that were not rendered here; name an empty or a new folder")
    else:
        present = read_json(marker)
        try:
            before = SyntheticConfig(**present["config"])
            train, test = plan(before)
            outdated = (present["renderer"], before) != (RENDERER, config)
        except (KeyError, TypeError, UserError):
            raise UserError(f"{marker}: not the marker of a synthetic corpus; name another folder") from None
        stems = {Path(name).stem for name in _names(train + test, before)}
        for path in folder.glob("audio/.*.wav"):  # temporary files of a killed run
            if path.name[1:].partition(".wav.")[0] in stems:
                remove(path)
        if not outdated:
            return
        for name in (*LISTS, *map(list_of, SHARES), *_names(train + test, before)):
            remove(folder / name)
    write_json(marker, wanted)


def _write_recording(folder: Path, config: SyntheticConfig, item: Recording) -> None:
    sound = recording(config.seed, item.scene, item.city, item.location, item.segment, _samples(config))
    for device in item.devices:
        (whole,) = item.filenames(device, None)
        rng = np.random.default_rng([config.seed, zlib.crc32(whole.encode())])
        names, heard = item.filenames(device, config.parts), through(DEVICES[device], sound, rng)
        length = len(heard) // len(names)
        for part, name in enumerate(names):
            wav = io.BytesIO()  # libsndfile does not say why it could not write a file
            soundfile.write(wav, heard[part * length : (part + 1) * length], RATE, subtype="PCM_24", format="WAV")
            with replacing(folder / name) as temporary:
                temporary.write_bytes(wav.getbuffer())


def _write_lists(folder: Path, config: SyntheticConfig, train: list[Recording], test: list[Recording]) -> None:
    """The lists of the data set; `meta.csv` comes last because it marks the corpus as complete."""
    header = ("filename", "scene_label", "identifier", "source_label")
    training, testing = (
        [
            (name, item.scene, item.identifier, device)
            for item in split
            for device in item.devices
            for name in item.filenames(device, config.parts)
        ]
        for split in (train, test)
    )
    for name, rows, columns in (("train", training, 2), ("evaluate", testing, 2), ("test", testing, 1)):
        _write_table(folder / f"evaluation_setup/fold1_{name}.csv", header[:columns], (row[:columns] for row in rows))
    if config.parts:
        table = pd.DataFrame(training, columns=list(header))
        for share, chosen in shares(table).items():
            _write_table(folder / list_of(share), header[:2], chosen[list(header[:2])].to_numpy().tolist())
    _write_table(folder / "meta.csv", header, training + testing)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _each(function: Callable[[Recording], None], items: list[Recording], workers: int) -> Iterator[None]:
    """Apply `function` to every item, in this process for one worker or few items."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    # A forked child may inherit the locks of torch's threads in a state that never changes; a spawned one cannot.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, items, chunksize=4)


def _names(recordings: Iterable[Recording], config: SyntheticConfig) -> Iterator[str]:
    return (name for item in recordings for device in item.devices for name in item.filenames(device, config.parts))


def _samples(config: SyntheticConfig) -> int:
    return round(config.clip_seconds * RATE)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
