"""Tables of predictions: what a network answered to each clip, and what it takes to judge the answer.

A row a clip: what `KEYS` names, then the probability of each scene in a column of its name. `unseen` says whether
training had no clip of its device. A file may hold the answers of several networks; `model` tells them apart.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asc_core.errors import ILL_MADE, UserError, reason
from asc_core.files import absence

if TYPE_CHECKING:
    from torch import Tensor

    from asc_core.features.store import FeatureStore

KEYS = ("filename", "scene", "device", "model", "location", "unseen")
CLIP = ["location", "filename"]  # what tells a clip from every other one
KNOWN = "known_devices"  # the model by which each clip is heard by its device's network, where there is one
SHIPPED = "quantized"  # the model that is meant where a file has several and none is named


def prediction_table(store: "FeatureStore", rows: np.ndarray, logits: "Tensor", model: str) -> pd.DataFrame:
    """The table of what the network `model` answered to some rows of a store.

    Args:
        rows: (clips,) row numbers.
        logits: (clips, classes), in the order of `rows`.

    Raises:
        UserError: a scene is called what another column is.
    """
    taken = sorted(set(store.scenes) & set(KEYS))
    if taken:
        raise UserError(f"{store.folder}: a scene is called {taken[0]!r}, as a column of predictions is; rename it")
    clips = store.clips.iloc[rows].reset_index(drop=True)
    keys = clips.assign(model=model, unseen=clips["device"].isin(store.unseen))[list(KEYS)]
    probabilities = pd.DataFrame(logits.softmax(dim=1).numpy(), columns=store.scenes)
    return pd.concat([keys, probabilities], axis=1)


def scenes_of(table: pd.DataFrame) -> pd.Index:
    """The scenes that a table has probabilities of."""
    return table.columns.drop(list(KEYS))


def read(path: Path, model: str | None = None) -> pd.DataFrame:
    """The answers of one network in a parquet file.

    Args:
        model: which; None for `SHIPPED` or, where the file has one only, for that.

    Raises:
        UserError: the file is missing, is no table of predictions, or does not have that model.
    """
    if not path.exists():
        raise UserError(f"{path}: {absence(path)}")
    try:
        table = pd.read_parquet(path)
        models = _models(table)
        chosen = model or (models[0] if len(models) == 1 else SHIPPED)
        table = table[table["model"] == chosen].reset_index(drop=True)  # checked alone: others may be many
        _check(table)
    except (OSError, *ILL_MADE) as error:
        raise UserError(f"{path}: not a table of predictions ({reason(error)})") from None
    if chosen not in models:
        raise UserError(f"{path}: has no model {chosen!r}; name one of {', '.join(models)}")
    return table


def _models(table: pd.DataFrame) -> list[str]:
    """The networks whose answers are in a table.

    Raises:
        ValueError: the table is none of predictions.
    """
    missing = [name for name in KEYS if name not in table.columns]
    if missing:
        raise ValueError(f"it has no column {missing[0]!r}")
    if table.empty:
        raise ValueError("it has no row")
    models = list(table["model"].unique())
    if not all(isinstance(name, str) for name in models):
        raise ValueError("its column 'model' has a value that is no text")
    return sorted(models)


def _check(table: pd.DataFrame) -> None:
    """Raises: ValueError: what one network answered is not as predictions are."""
    for name in KEYS[:-1]:
        if not table[name].map(lambda value: isinstance(value, str)).all():
            raise ValueError(f"its column {name!r} has a value that is no text")
    if table["unseen"].dtype != bool:
        raise ValueError("its column 'unseen' is not of true and false")
    scenes = scenes_of(table)
    odd = table.loc[~table["scene"].isin(scenes), "scene"]
    if len(odd):
        raise ValueError(f"it has no probability of the scene {odd.iloc[0]!r}")
    probabilities = table[scenes].to_numpy(np.float64)
    sound = (probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) < 1e-3)
    if not sound.all():
        raise ValueError(f"the probabilities in row {int(sound.argmin())} do not sum up to 1")
    again = table.duplicated(CLIP)
    if again.any():
        raise ValueError(f"it has the clip {table['filename'][again].iloc[0]} twice")
