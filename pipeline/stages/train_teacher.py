"""Stage train_teacher: the uncompressed network, from scratch."""

import torch

from asc_core.features.store import FeatureStore
from asc_core.models.networks import build
from asc_core.training.job import Job
from asc_core.training.loop import fit_input
from pipeline.params import Params
from pipeline.paths import FEATURES, made, model_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import save, train


def train_teacher(params: Params, journal: Journal, seed: int) -> None:
    """Train the teacher of a seed."""
    store, stage = FeatureStore(made(FEATURES)), params.teacher
    torch.manual_seed(seed)
    network = build(stage.network, len(store.scenes))
    fit_input(network, store)
    job = Job(stage.schedule, params.training, params.augment.masked(stage.spec_augment), seed)
    train("train_teacher", network, store, job, journal)
    save(network, stage.network, store, model_path(seed, "teacher"), journal)


if __name__ == "__main__":
    run(train_teacher, trains=True)
