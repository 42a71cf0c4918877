"""A feature store whose parts do not fit each other is refused by the name of its folder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore


@pytest.fixture
def folder(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "store")
    return tmp_path / "store"


def refused(folder) -> str:
    with pytest.raises(UserError) as caught:
        FeatureStore(folder)
    told = str(caught.value)
    assert told.startswith(f"{folder}: not a feature store (") and told.isprintable() and "stage" not in told
    return told


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.astype(np.float32),
        lambda array: array[:-1],
        lambda array: array[:, :-1],
        lambda array: array[..., :-1],
        lambda array: array[0],
    ],
)
def test_an_array_of_another_type_or_shape(folder, change):
    np.save(folder / "features.npy", change(np.load(folder / "features.npy")))
    assert "features.npy holds (" in refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda clips: clips.iloc[:-1],
        lambda clips: clips.drop(columns="device"),
        lambda clips: clips.assign(scene=None),
        lambda clips: clips.assign(device=1),
        lambda clips: clips.replace({"split": {"test": "\x1b[31m"}}),
    ],
)
def test_a_table_of_other_clips(folder, change):
    change(pd.read_parquet(folder / "clips.parquet")).to_parquet(folder / "clips.parquet")
    refused(folder)


@pytest.mark.parametrize(
    "description",
    [[], {}, {"config": []}, {"config": {}, "seconds": float("nan")}, {"config": {"n_mels": 64}, "seconds": 0.69}],
)
def test_a_description_of_other_features(folder, description):
    (folder / "features.json").write_text(json.dumps(description))
    refused(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named_by_their_row(folder, value):
    array = np.load(folder / "features.npy")
    array[7, 3, 5] = value
    np.save(folder / "features.npy", array)
    store = FeatureStore(folder)
    store.batch(np.array([6, 8]))
    for use in (store.statistics, store.device_curves, lambda: store.batch(np.array([9, 7]))):
        with pytest.raises(UserError, match=f"{folder}: the features in row 7 are not finite"):
            use()
