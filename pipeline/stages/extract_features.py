"""Stage extract_features: log-mel energies of every clip, into the feature store `data/features`."""

from pathlib import Path

import pandas as pd

from asc_core.cores import usable_cores
from asc_core.features.extraction import extract
from asc_core.features.store import FeatureStore
from pipeline.params import Params
from pipeline.paths import CLIPS, FEATURES, corpus_root
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run

WORK = Path(".state/features")


def extract_features(params: Params, journal: Journal) -> None:
    """Write the feature store of the validated clips."""
    extract(corpus_root(), pd.read_parquet(CLIPS), params.features, FEATURES, WORK, usable_cores())
    clips, bands, frames = FeatureStore(FEATURES).array.shape
    journal.metrics({"clips": clips, "bands": bands, "frames": frames})


if __name__ == "__main__":
    run(extract_features)
