"""Stage extract_features: log-mel energies of every clip, into the feature store `data/features`."""

from pathlib import Path

import pandas as pd

from asc_core.features.config import FeatureConfig
from asc_core.features.extraction import extract
from asc_core.features.store import FeatureStore
from pipeline.params import Params
from pipeline.paths import CLIPS, FEATURES, corpus_root, made
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run

WORK = Path(".state/features")


def extract_features(params: Params, journal: Journal) -> None:
    """Write the feature store of the validated clips."""
    extracted(corpus_root(), pd.read_parquet(made(CLIPS)), params.features, FEATURES, WORK, journal)


def extracted(
    root: Path, table: pd.DataFrame, config: FeatureConfig, folder: Path, work: Path, journal: Journal
) -> None:
    """Write the feature store of the clips in `table`, of the corpus at `root`, to `folder`, by way of `work`."""
    extract(root, table, config, folder, work)
    store = FeatureStore(folder)
    clips, bands, frames = store.array.shape
    seconds = store.description["seconds"]
    lengths = store.clips["seconds"].round(3)  # to which the median is rounded too
    cut, repeated = int((lengths > seconds).sum()), int((lengths < seconds).sum())
    if cut or repeated:
        print(
            f"extract_features: not all {clips} clips have the same length; all get their median, {seconds} s: "
            f"{cut} longer ones are cut, {repeated} shorter ones repeated"
        )
    counts = {"clips": clips, "bands": bands, "frames": frames}
    journal.metrics({**counts, "seconds": seconds, "clips_cut": cut, "clips_repeated": repeated})


if __name__ == "__main__":
    run(extract_features)
