"""Stage train of the table: one system of others, one seed, trained on a share of the data and measured."""

from asc_core.evaluation.predictions import prediction_table
from pipeline.params import Params
from pipeline.peers import settings as peers_settings
from pipeline.peers.stages.train import job_of
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.shares import paths
from pipeline.systems.keep import keep
from pipeline.systems.scratch import train_and_measure
from pipeline.systems.share import share_of


def train(params: Params, journal: Journal, system: str, seed: int, share: int) -> None:
    """Train a system by its recipe and measure it on the test split."""
    peers, store = peers_settings.load(), share_of(paths.FEATURES, paths.clips(share))
    journal.tags({"table": "shares", "row": system, "share": str(share)})
    job = job_of(peers, system, params.training, store.array.shape[1], seed)
    name, path = f"shares {system} {share} %", paths.FILES.network(system, seed, share)
    logits, results = train_and_measure(name, peers.recipes[system].network, job, store, path, journal)
    table = prediction_table(store, store.rows("test"), logits, system)
    keep(paths.FILES, (system, seed, share), table, {system: results})


if __name__ == "__main__":
    run(train, experiment=paths.FILES.experiment, trains=True)
