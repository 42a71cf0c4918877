"""Stage train_student: the network that will be compressed, learning from the teacher."""

import torch

from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from asc_core.models.networks import build
from asc_core.training.job import Job
from asc_core.training.loop import fit_input
from asc_core.training.objective import Teacher
from pipeline.params import Params
from pipeline.paths import FEATURES, made, model_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import save, train


def train_student(params: Params, journal: Journal, seed: int) -> None:
    """Train the student of a seed, from scratch or from the teacher's weights."""
    store, stage = FeatureStore(made(FEATURES)), params.student
    torch.manual_seed(seed)
    if stage.start == "teacher":
        network, _ = checkpoint.load(model_path(seed, "teacher"))
    else:
        network = build(stage.network, len(store.scenes))
        fit_input(network, store)
    teacher = Teacher.load(model_path(seed, "teacher"), params.distillation) if stage.distil else None
    job = Job(stage.schedule, params.training, params.augment.masked(stage.spec_augment), seed, teacher)
    train("train_student", network, store, job, journal)
    save(network, stage.network, store, model_path(seed, "student"), journal)


if __name__ == "__main__":
    run(train_student, trains=True)
