"""The features of a share of the training data."""

from pathlib import Path

import pandas as pd

from asc_core.features.store import FeatureStore
from pipeline.paths import made


def share_of(folder: Path, listed: Path) -> FeatureStore:
    """The feature store in a folder with no other clips in its training split than those of a list (filename)."""
    table = pd.read_csv(made(listed), sep="\t", dtype=str, keep_default_na=False)
    return FeatureStore(made(folder), table["filename"].tolist())
