"""Read any corpus in the layout of TAU Urban Acoustic Scenes 2020 Mobile.

    meta.csv                            filename, scene_label, identifier (city-location), source_label (device)
    evaluation_setup/fold1_train.csv    filename, scene_label
    evaluation_setup/fold1_evaluate.csv filename, scene_label
    audio/scene-city-location-segment-device.wav

Tables are tab-separated. Scenes and devices are whatever the files say.
"""

import codecs
from pathlib import Path

import pandas as pd

from asc_core.errors import UserError

META_COLUMNS = {"filename": "filename", "scene_label": "scene", "identifier": "location", "source_label": "device"}
SPLITS = {"train": "evaluation_setup/fold1_train.csv", "test": "evaluation_setup/fold1_evaluate.csv"}
NAME_GRAMMAR = (
    r"^audio/(?P<scene>[^-/]+)-(?P<city>[^-/]+)-(?P<location>[^-/]+)-(?P<segment>[^-/]+)-(?P<device>[^-/]+)\.\w+$"
)


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """The named columns of a tab-separated file, as text; an empty cell stays missing.

    Raises:
        UserError: the file is missing, is not a table, lacks a column, has no row, or one without a file name.
    """
    try:
        # A surplus cell is no index, and a scene or device may be called NA, None or null.
        table = pd.read_csv(path, sep="\t", dtype=str, index_col=False, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a corpus needs meta.csv and evaluation_setup/fold1_*.csv") from None
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
    return table[columns]


def _encoding(path: Path) -> str:
    """A guess at what a table that is not UTF-8 is."""
    start = path.read_bytes()[:1000]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "in UTF-16"
    return "in another encoding, such as Latin-1" if b"\0" not in start else "binary"


def read_corpus(root: Path) -> pd.DataFrame:
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
        read_table(root / path, ["filename", "scene_label"])
        .rename(columns={"scene_label": "scene"})
        .assign(split=split)
        for split, path in SPLITS.items()
    ]
    return pd.concat(splits, ignore_index=True).merge(meta, on="filename", how="left", validate="many_to_one")
