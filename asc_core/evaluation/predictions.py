"""Tables of predictions: what a network answered to each clip, and what it takes to judge the answer.

A row a clip: what `KEYS` names, then the probability of each scene in a column of its name. `unseen` says whether
training had no clip of its device. A table may hold several networks; `model` tells them apart.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asc_core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from asc_core.features.store import FeatureStore

KEYS = ("filename", "scene", "device", "model", "location", "unseen")


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
