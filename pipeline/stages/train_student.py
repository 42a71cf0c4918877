"""Stage train_student: the network that will be compressed, learning from the teachers."""

import copy

from torch import nn

from asc_core.features.store import FeatureStore
from asc_core.models import ensemble
from asc_core.training.job import Job
from asc_core.training.loop import untrained
from asc_core.training.objective import Teacher
from pipeline.params import Params
from pipeline.paths import FEATURES, curve_path, made, model_path, teacher_paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Fit, Training, save


def train_student(params: Params, journal: Journal, seed: int) -> None:
    """Train the student of a seed, from scratch or from the weights of the teacher."""
    store, teacher = FeatureStore(made(FEATURES)), ensemble.load(teacher_paths(seed, params.teachers))
    with Training(journal, curve_path(seed, "student")) as fit:
        network = trained(params, store, seed, teacher, fit)
    save(network, params.student.network, store, model_path(seed, "student"), journal)


def trained(params: Params, store: FeatureStore, seed: int, teacher: nn.Module, fit: Fit) -> nn.Module:
    """The student of a seed: trained, or where there is no schedule the teacher as it is."""
    stage = params.student
    network = copy.deepcopy(teacher) if stage.start == "teacher" else untrained(stage.network, store, seed)
    if stage.schedule is None:
        return network
    source = Teacher(teacher, stage.distillation) if stage.distillation else None
    augment = params.augment.masked(stage.spec_augment)
    fit("train_student", network, store, Job(stage.schedule, params.training, augment, seed, source))
    return network


if __name__ == "__main__":
    run(train_student, trains=True)
