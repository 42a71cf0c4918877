"""Feature stores that were made to harm: each is refused in one line, or read, in little time and memory."""

import json
import random
import shutil
from pathlib import Path

import fuzzing
import numpy as np
import pandas as pd
import pytest

from asc_core.features.store import FeatureStore

TYPES = (np.float32, np.float64, np.int8, np.int64, np.bool_, "U4", "V2")


@pytest.fixture
def folder(tmp_path, store):
    shutil.copytree(store.folder, tmp_path / "original")
    return tmp_path


def make_store(rng: random.Random, folder: Path, target: Path) -> Path:
    """A store whose description, array, table or bytes are not what they were."""
    path = target / "store"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder / "original", path)
    what = rng.random()
    if what < 0.4:
        description = path / "features.json"
        description.write_text(fuzzing.text(fuzzing.hostile(rng, json.loads(description.read_text()))))
    elif what < 0.6:
        np.save(path / "features.npy", exchanged(rng, np.load(path / "features.npy")))
    elif what < 0.8:
        table = path / "clips.parquet"
        change(rng, pd.read_parquet(table)).to_parquet(table)
    else:
        damaged = path / rng.choice(["features.npy", "features.npy", "clips.parquet", "features.json"])
        data = damaged.read_bytes()
        if damaged.suffix == ".npy" and rng.random() < 0.7:  # where it says how large it is
            data = fuzzing.damaged(rng, data[:128]) + data[128:]
        else:
            data = fuzzing.damaged(rng, data)
        damaged.write_bytes(data)
    if rng.random() < 0.02:
        next(path.iterdir()).unlink()
    return path


def exchanged(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """The array with another size, type or content."""
    broken = array.copy()
    broken[rng.randrange(len(array))] = rng.choice([np.nan, np.inf])
    return rng.choice([
        broken, array[:-1], array[..., :-1], array[:, :-1], array[0], array[None], array[:0], np.asfortranarray(array),
        np.concatenate([array, array]), array.astype(rng.choice(TYPES), casting="unsafe"),
    ])  # fmt: skip


def change(rng: random.Random, clips: pd.DataFrame) -> pd.DataFrame:
    """The table with other rows, columns or values."""
    column = rng.choice(["filename", "scene", "split", "location", "device"])
    changed = clips.astype({column: object})
    changed.loc[rng.randrange(len(clips)), column] = rng.choice([None, "", "other", "train", "\x1b[31m", "a" * 100_000])
    return rng.choice([
        changed, clips.iloc[:-1], clips.iloc[:0], pd.concat([clips, clips]), clips.drop(columns=column),
        clips.assign(**{column: rng.choice([1, 1.5, True, None])}), clips.assign(split="train"),
        clips.rename(columns={column: "renamed"}), clips.set_index(column),
    ])  # fmt: skip


def use_store(path: Path) -> None:
    store = FeatureStore(path)
    store.statistics("train")
    store.device_curves()
    for split in ("train", "test"):
        store.batch(store.rows(split))


@pytest.mark.timeout(fuzzing.TIMEOUT)
def test_no_store_does_harm(folder):
    count = 1000 if fuzzing.ALL else 100
    result = fuzzing.fuzz(count, folder, make_store, use_store)
    assert not result.broken, "\n".join(result.broken[:5])
    assert result.memory < 300e6
    assert result.refused > count / 3 and result.used > count / 20
