"""The tables that the expectations are about, from the files of a corpus."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core.corpus.config import Lists
from asc_core.corpus.layout import LISTED, NAME_GRAMMAR
from asc_core.corpus.validation_split import HeldBack
from asc_core.features.audio import read_header, sample_problem
from asc_core.features.clips import SPLITS
from asc_core.progress import track
from pipeline.params import Expect

# What names a row of each table. The splits show a file of each where it matters which they are.
INDEX = {
    "clips": ["filename"],
    "meta": ["filename"],
    "files": ["filename"],
    "segments": ["segment", *SPLITS],
    "locations": ["location", *SPLITS],
    "scenes": ["scene"],
    "devices": ["device"],
    "cities": ["city"],
    "sizes": ["lists"],
}


def inspect(root: Path, clips: pd.DataFrame) -> pd.DataFrame:
    """The clips with what their files say: header, `problem` of the file and `defect` of its samples."""

    def look(path: Path) -> dict[str, Any]:
        header = read_header(path)
        return {**asdict(header), "defect": None if header.problem else sample_problem(path)}

    # Threads do: most of the time goes to reading and to libsndfile, neither of which holds the interpreter.
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        paths = [root / name for name in clips["filename"]]
        found = pd.DataFrame(track(pool.map(look, paths), len(paths), "audio files"))
    return pd.concat([clips, found.astype({"sample_rate": "Int64", "channels": "Int64", "seconds": "float64"})], axis=1)


def tables(
    clips: pd.DataFrame, meta: pd.DataFrame, expect: Expect, lists: Lists = Lists(), held: HeldBack | None = None
) -> dict[str, pd.DataFrame]:
    """The tables that the suite is about, from the inspected clips and the rows of meta.csv.

    Clips have the split in which they are `listed`, and the `split` that they are in once what is `held` back is.
    """
    named = clips["filename"].str.extract(NAME_GRAMMAR)
    clips = clips.assign(
        listed=clips["split"],
        split=held.splits(clips) if held else clips["split"],
        name_scene=named["scene"],
        name_location=named["city"] + "-" + named["location"],
        name_device=named["device"],
        city=named["city"],
        # All parts of a recording, through whichever device, are one.
        segment="audio/" + named["scene"] + "-" + named["city"] + "-" + named["location"] + "-" + named["segment"],
    )
    sizes = clips["listed"].value_counts().reindex(list(LISTED), fill_value=0)
    scenes = _counts(clips, "scene", expect.scenes)
    locations = clips[clips["listed"] == "train"].groupby("scene")["location"].nunique()
    return {
        "clips": clips,
        "meta": meta,
        "files": _shared(clips, "filename"),
        "segments": _shared(clips, "segment"),
        "locations": _shared(clips, "location"),
        "scenes": scenes.assign(locations=scenes["scene"].map(locations).fillna(0)),
        "devices": _counts(clips, "device", expect.devices),
        "cities": _counts(clips, "city", None),
        "sizes": pd.DataFrame([{"lists": Path(lists.train).stem.removesuffix("_train"), **sizes}]),
    }


def _shared(clips: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each value of a column: the first file of it in each split, and in how many splits there is one."""
    first = clips.groupby([column, "split"])["filename"].first().unstack("split").reindex(columns=list(SPLITS))
    return first.assign(splits=first.notna().sum(axis=1)).reset_index()


def _counts(clips: pd.DataFrame, column: str, expected: Iterable[str] | None) -> pd.DataFrame:
    """A row for each value of a column that there is or should be: its clips by list, in all and by split."""
    listed = pd.crosstab(clips[column], clips["listed"])
    listed = listed.reindex(sorted({*listed.index, *(expected or [])}), columns=list(LISTED), fill_value=0)
    counts = pd.crosstab(clips[column], clips["split"]).reindex(listed.index, columns=list(SPLITS), fill_value=0)
    counts = counts.join(listed.add_prefix("listed_")).assign(clips=listed.sum(axis=1))
    return counts.rename_axis(column).reset_index()


def by_split(counts: pd.DataFrame, splits: Iterable[str]) -> dict[str, dict[str, int]]:
    """The counts as the report has them: by split, without what the split does not have."""
    names = counts.iloc[:, 0]
    return {split: {name: n for name, n in zip(names, counts[split].tolist(), strict=True) if n} for split in splits}
