"""Stage ours of the table: the whole method as params.yaml has it, one seed, one fold, measured float and shipped."""

from asc_core.features.store import FeatureStore
from pipeline.params import Params
from pipeline.paths import made
from pipeline.peers import paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.systems.keep import keep
from pipeline.systems.ours import train_and_measure


def ours(params: Params, journal: Journal, seed: int, fold: str) -> None:
    """Train teacher and student, prune, quantise, package and measure on the test split."""
    store, path = FeatureStore(made(paths.features(fold))), paths.FILES.package(seed, fold)
    journal.tags({"table": "peers", "row": "ours", "fold": fold})
    table, results = train_and_measure(f"ours {fold}", params, store, seed, path, journal)
    keep(paths.FILES, ("ours", seed, fold), table, results)


if __name__ == "__main__":
    run(ours, experiment=paths.FILES.experiment, trains=True)
