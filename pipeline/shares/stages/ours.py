"""Stage ours of the table: the whole method as params.yaml has it, one seed, on a share of the data."""

from pipeline.params import Params
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.shares import paths
from pipeline.systems.keep import keep
from pipeline.systems.ours import train_and_measure
from pipeline.systems.share import share_of


def ours(params: Params, journal: Journal, seed: int, share: int) -> None:
    """Train teachers and student on the share, prune, quantise, package and measure on the test split."""
    journal.tags({"table": "shares", "row": "ours", "share": str(share)})
    store, path = share_of(paths.FEATURES, paths.clips(share)), paths.FILES.package(seed, share)
    table, results = train_and_measure(f"ours {share} %", params, store, seed, path, journal)
    keep(paths.FILES, ("ours", seed, share), table, results)


if __name__ == "__main__":
    run(ours, experiment=paths.FILES.experiment, trains=True)
