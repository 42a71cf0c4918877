"""Stage train of the tables: one system of the publications, one seed, trained and measured."""

import torch

from asc_core import UserError
from asc_core.compression.size import totals
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.files import write_json
from asc_core.models import checkpoint
from asc_core.models.macs import costs
from asc_core.models.networks import build
from asc_core.training.job import Job
from asc_core.training.loop import fit_input
from pipeline.paper.paths import EXPERIMENT, measured, trained
from pipeline.paper.rows import systems
from pipeline.params import Params
from pipeline.paths import FEATURES, made
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import train as fit


def train(params: Params, journal: Journal, system: str, seed: int) -> None:
    """Train a system and measure it on the test split."""
    if system not in systems.SYSTEMS:
        raise UserError(f"paper.systems: unknown name {system!r}, known are {', '.join(systems.SYSTEMS)}")
    paper, store, row = systems.load(), FeatureStore(made(FEATURES)), systems.SYSTEMS[system]
    journal.tags({"table": row.table, "row": system})
    torch.manual_seed(seed)
    config = row.network(paper)
    network = build(config, len(store.scenes))
    fit_input(network, store)
    job = Job(paper.schedule, params.training, params.augment.masked(row.masked(paper)), seed)
    fit(f"paper {system}", network, store, job, journal)
    checkpoint.save(trained(system, seed), network, config, store.scenes, features=store.description)
    size = {**totals(network), **costs(network, (1, *store.array.shape[1:]))}
    results = {**score(network, store)[1], "size": size}
    print(f"{system}@{seed}: {results['accuracy']:.1f} %")
    journal.metrics(results)
    write_json(measured(system, seed), results)


if __name__ == "__main__":
    run(train, experiment=EXPERIMENT, trains=True)
