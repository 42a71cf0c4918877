"""Stage prune: most convolution weights to zero, before or while training goes on with the others."""

import torch
from torch import nn

from asc_core.compression.prune import conv_weights
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint, ensemble
from asc_core.training.job import Job
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity
from pipeline.params import Params
from pipeline.paths import FEATURES, curve_path, made, model_path, teacher_paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Fit, Training, save


def prune(params: Params, journal: Journal, seed: int) -> None:
    """Prune the student of a seed and tune what is left."""
    store, teacher = FeatureStore(made(FEATURES)), ensemble.load(teacher_paths(seed, params.teachers))
    network, _ = checkpoint.load(model_path(seed, "student"))
    with Training(journal, curve_path(seed, "pruned")) as fit:
        tune_pruned(network, params, store, seed, teacher, fit)
    weights = torch.cat([weight.flatten() for weight in conv_weights(network)])
    print(f"prune@{seed}: {weights.count_nonzero()} convolution weights kept of {len(weights)}")
    save(network, params.student.network, store, model_path(seed, "pruned"), journal)


def tune_pruned(
    network: nn.Module, params: Params, store: FeatureStore, seed: int, teacher: nn.Module, fit: Fit
) -> None:
    """Prune the student and tune what is left, in place; without a schedule nothing is pruned."""
    stage, augment = params.prune, params.augment.masked(params.student.spec_augment)
    if stage.schedule is None:
        return
    source = Teacher(teacher, stage.distillation) if stage.distillation else None
    fit("prune", network, store, Job(stage.schedule, params.training, augment, seed, source, Sparsity(stage.config)))


if __name__ == "__main__":
    run(prune, trains=True)
