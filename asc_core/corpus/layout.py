"""Read any corpus in the layout of TAU Urban Acoustic Scenes 2020 or 2022 Mobile.

    meta.csv                            filename, scene_label, identifier (city-location), source_label (device)
    evaluation_setup/fold1_train.csv    filename, scene_label
    evaluation_setup/fold1_evaluate.csv filename, scene_label
    evaluation_setup/fold1_test.csv     filename, and from 2025 on device_id
    audio/scene-city-location-segment-device.wav
    audio/scene-city-location-segment-part-device.wav

The parts of a segment are one recording that was cut. Tables are tab-separated; other ones can stand for the three in
evaluation_setup (`config.Lists`). Scenes and devices are whatever the files say.
"""

import codecs
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from asc_core.corpus.config import Lists
from asc_core.errors import UserError

META_COLUMNS = {"filename": "filename", "scene_label": "scene", "identifier": "location", "source_label": "device"}
LISTED = ("train", "test")  # the splits that a corpus has lists of
NAME_GRAMMAR = (
    r"^audio/(?P<scene>[^-/]+)-(?P<city>[^-/]+)-(?P<location>[^-/]+)-(?P<segment>[^-/]+)"
    r"(?:-(?P<part>[^-/]+))?-(?P<device>[^-/]+)\.\w+$"
)


def read_table(path: Path, columns: list[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The named columns of a tab-separated file, and those `optional` ones that it has, as text.

    An empty cell stays missing.

    Raises:
        UserError: the file is missing, is not a table, lacks a column, has no row, or one without a file name.
    """
    try:
        # A surplus cell is no index, and a scene or device may be called NA, None or null.
        table = pd.read_csv(path, sep="\t", dtype=str, index_col=False, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a corpus needs meta.csv and the lists of its splits") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path}: not a tab-separated table in UTF-8, but {_encoding(path)}; save it as UTF-8"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise UserError(f"{path}: not a tab-separated table ({str(error).strip()})") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; the columns are {', '.join(table.columns)}")
    if table.empty:
        raise UserError(f"{path}: has a header but no row; an empty corpus or split cannot be used")
    if table["filename"].isna().any():
        row = int(table["filename"].isna().argmax()) + 1
        raise UserError(f"{path}: row {row} after the header has no file name; remove or complete it")
    return table[columns + [column for column in optional if column in table.columns]]


def _encoding(path: Path) -> str:
    """A guess at what a table that is not UTF-8 is."""
    start = path.read_bytes()[:1000]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "in UTF-16"
    return "in another encoding, such as Latin-1" if b"\0" not in start else "binary"


def read_corpus(root: Path, lists: Lists = Lists()) -> pd.DataFrame:
    """The clips that the splits of the corpus at `root` name, a row for each, training split first.

    Columns: filename, scene (as the split lists it), split (train or test), meta_scene, location, device (the last
    three from meta.csv, missing where it lacks the file). Clips of meta.csv that are in neither split are left out.
    Nothing is checked here beyond what is needed to read the tables.

    Raises:
        UserError: a table is missing, malformed or empty.
    """
    meta = read_table(root / "meta.csv", list(META_COLUMNS)).rename(columns=META_COLUMNS)
    meta = meta.rename(columns={"scene": "meta_scene"}).drop_duplicates("filename")
    splits = [
        read_table(root / getattr(lists, split), ["filename", "scene_label"])
        .rename(columns={"scene_label": "scene"})
        .assign(split=split)
        for split in LISTED
    ]
    return pd.concat(splits, ignore_index=True).merge(meta, on="filename", how="left", validate="many_to_one")


def read_evaluation(root: Path, lists: Lists = Lists()) -> pd.DataFrame:
    """The clips that are only to be classified, a row for each: filename, and the device that recorded it.

    The device is what the list says (device_id), else what meta.csv says, else missing. Of a corpus without such a
    list, or with an empty one, it is the test split.

    Raises:
        UserError: a table is malformed, or the test split is needed and is missing or empty.
    """
    path = root / lists.evaluation
    rows = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[1:] if path.is_file() else []
    clips = read_table(path if any(row.strip() for row in rows) else root / lists.test, ["filename"], ["device_id"])
    if "device_id" in clips:
        return clips.rename(columns={"device_id": "device"})
    if not (root / "meta.csv").is_file():
        return clips.assign(device=None)
    meta = read_table(root / "meta.csv", ["filename"], ["source_label"]).drop_duplicates("filename")
    meta = meta.rename(columns={"source_label": "device"}).reindex(columns=["filename", "device"])
    return clips.merge(meta, on="filename", how="left")
