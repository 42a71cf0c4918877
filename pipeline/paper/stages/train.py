"""Stage train of the tables: one system of the publications, one seed, trained and measured."""

from asc_core import UserError
from asc_core.evaluation.predictions import prediction_table
from asc_core.features.store import FeatureStore
from asc_core.training.job import Job
from pipeline.paper.paths import FILES
from pipeline.paper.rows import systems
from pipeline.params import Params
from pipeline.paths import FEATURES, made
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.systems.keep import keep
from pipeline.systems.scratch import train_and_measure


def train(params: Params, journal: Journal, system: str, seed: int) -> None:
    """Train a system and measure it on the test split."""
    if system not in systems.SYSTEMS:
        raise UserError(f"paper.systems: unknown name {system!r}, known are {', '.join(systems.SYSTEMS)}")
    paper, store, row = systems.load(), FeatureStore(made(FEATURES)), systems.SYSTEMS[system]
    journal.tags({"table": row.table, "row": system})
    job = Job(paper.schedule, params.training, params.augment.masked(row.masked(paper)), seed)
    path = FILES.network(system, seed)
    logits, results = train_and_measure(f"paper {system}", row.network(paper), job, store, path, journal)
    keep(FILES, (system, seed), prediction_table(store, store.rows("test"), logits, system), results)


if __name__ == "__main__":
    run(train, experiment=FILES.experiment, trains=True)
