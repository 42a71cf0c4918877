"""Stage train of the table: one system of others, one seed, one fold, trained by its recipe and measured."""

from dataclasses import replace

from asc_core import UserError
from asc_core.evaluation.predictions import prediction_table
from asc_core.features.store import FeatureStore
from asc_core.training.config import TrainingConfig
from asc_core.training.job import Job
from pipeline.params import Params
from pipeline.paths import made
from pipeline.peers import paths, settings
from pipeline.peers.settings import Peers
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.systems.keep import keep
from pipeline.systems.scratch import train_and_measure


def train(params: Params, journal: Journal, system: str, seed: int, fold: str) -> None:
    """Train a system and measure it on the test split."""
    peers, store = settings.load(), FeatureStore(made(paths.features(fold)))
    if system not in peers.recipes:
        raise UserError(f"peers.recipes: no {system!r}, there are {', '.join(peers.recipes)}")
    journal.tags({"table": "peers", "row": system, "fold": fold})
    job = job_of(peers, system, params.training, store.array.shape[1], seed)
    name, path = f"peers {system} {fold}", paths.FILES.network(system, seed, fold)
    logits, results = train_and_measure(name, peers.recipes[system].network, job, store, path, journal)
    table = prediction_table(store, store.rows("test"), logits, system)
    keep(paths.FILES, (system, seed, fold), table, {system: results})


def job_of(peers: Peers, system: str, training: TrainingConfig, bands: int, seed: int) -> Job:
    """The training of a system on features of so many bands, in its share of the published epochs.

    Batches and precision are those of `training`.
    """
    recipe = peers.recipes[system]
    schedule, augment = recipe.schedule, recipe.augment
    epochs = max(1, round(peers.epochs * schedule.epochs))
    schedule = replace(schedule, epochs=epochs, warmup_epochs=schedule.warmup_epochs * epochs / schedule.epochs)
    if masks := augment.spec_augment:
        masks = replace(masks, max_bands=round(masks.max_bands * bands / peers.bands))
        augment = replace(augment, spec_augment=masks)
    training = replace(training, ema=recipe.ema, precise_bn=recipe.precise_bn)
    return Job(schedule, training, augment, seed)


if __name__ == "__main__":
    run(train, experiment=paths.FILES.experiment, trains=True)
