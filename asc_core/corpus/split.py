"""A corpus of recordings as one of their seconds: what TAU Urban Acoustic Scenes 2022 Mobile is to that of 2020."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import soundfile

from asc_core.corpus.config import Lists
from asc_core.corpus.layout import NAME_GRAMMAR, read_corpus
from asc_core.corpus.shares import list_of, shares
from asc_core.errors import UserError
from asc_core.features.audio import SILENCE
from asc_core.files import remove, writing
from asc_core.progress import track


def split_seconds(source: Path, target: Path) -> int:
    """Write the corpus at `source`, cut into one-second files named by part, to `target`; return how many files it has.

    All tables beside the audio list the parts instead of the files, and `split_setup` has nested shares of the training
    split. Samples are copied as they are. Left out are what is left of a file after its last whole second, seconds that
    are silent in the mean of their channels, and files that no table lists.

    Raises:
        UserError: the source is no corpus of whole recordings, a file cannot be read, or the target exists.
    """
    source, target = Path(source), Path(target)
    read_corpus(source)
    if target.exists():
        raise UserError(f"{target}: is there already; name a new folder")
    work = target.with_name(f".{target.name}.partial")
    remove(work)
    try:
        with writing(target):
            (work / "audio").mkdir(parents=True)
            count = _write(source, work)
            os.replace(work, target)
    finally:
        remove(work)
    return count


def _write(source: Path, work: Path) -> int:
    tables = {
        path.relative_to(source): _table(path)
        for path in sorted([source / "meta.csv", *source.glob("*/*.csv")])
        if path.parent.name != "audio"
    }
    tables = {path: table for path, table in tables.items() if "filename" in table}
    names = list(dict.fromkeys(name for table in tables.values() for name in table["filename"]))
    parts = {name: _cut(source / name, work, name) for name in track(names, len(names), "split-seconds", unit="files")}
    for path, table in tables.items():
        listed = table.assign(filename=table["filename"].map(parts)).explode("filename").dropna(subset="filename")
        _save(listed, work / path)
        if str(path) == Lists().train:
            for share, rows in shares(listed.reset_index(drop=True)).items():
                _save(rows, work / list_of(share))
    return sum(map(len, parts.values()))


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", dtype=str, index_col=False, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: not a tab-separated table ({str(error).strip()})") from None


def _save(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, sep="\t", index=False, lineterminator="\n")


def _cut(path: Path, work: Path, name: str) -> list[str]:
    """Write the seconds of a file below `work`; return their names."""
    found = re.match(NAME_GRAMMAR, name)
    if found is None or found["part"] is not None:
        raise UserError(f"{name}: not named audio/scene-city-location-segment-device.wav, so not a whole recording")
    stem, suffix = PurePosixPath(name).stem.rpartition("-")[0], PurePosixPath(name).suffix
    names = []
    try:
        with soundfile.SoundFile(path) as file:
            kind = "int32" if file.subtype.startswith("PCM_") else "float64"
            for part in range(file.frames // file.samplerate):
                second = file.read(file.samplerate, dtype=kind, always_2d=True)
                if np.ptp(second.mean(axis=1)) <= SILENCE * (2**31 if kind == "int32" else 1):  # no corpus may have one
                    continue
                names.append(f"audio/{stem}-{part}-{found['device']}{suffix}")
                soundfile.write(work / names[-1], second, file.samplerate, subtype=file.subtype, format=file.format)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path}: cannot be read or cut ({error})") from None
    if not names:
        raise UserError(f"{path}: is shorter than a second, or silent in every one")
    return names
