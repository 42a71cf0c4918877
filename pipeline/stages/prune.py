"""Stage prune: most convolution weights to zero, before or while training goes on with the others."""

import torch

from asc_core.compression.prune import conv_weights
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from asc_core.training.job import Job
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity
from pipeline.params import Params
from pipeline.paths import FEATURES, made, model_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import save, train


def prune(params: Params, journal: Journal, seed: int) -> None:
    """Prune the student of a seed and tune what is left."""
    store, stage = FeatureStore(made(FEATURES)), params.prune
    network, _ = checkpoint.load(model_path(seed, "student"))
    teacher = Teacher.load(model_path(seed, "teacher"), params.distillation) if stage.distil else None
    augment = params.augment.masked(params.student.spec_augment)
    job = Job(stage.schedule, params.training, augment, seed, teacher, Sparsity(stage.config))
    train("prune", network, store, job, journal)
    weights = torch.cat([weight.flatten() for weight in conv_weights(network)])
    print(f"prune@{seed}: {weights.count_nonzero()} convolution weights kept of {len(weights)}")
    save(network, params.student.network, store, model_path(seed, "pruned"), journal)


if __name__ == "__main__":
    run(prune, trains=True)
