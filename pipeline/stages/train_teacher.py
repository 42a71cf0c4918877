"""Stage train_teacher: an uncompressed network, from scratch. There may be several, of one kind or of many."""

import numpy as np
from torch import nn

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.models.ensemble import together
from asc_core.training.job import Job
from asc_core.training.loop import untrained
from pipeline.params import Params
from pipeline.paths import FEATURES, curve_path, made, teacher_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Fit, Training, save


def train_teacher(params: Params, journal: Journal, seed: int, teacher: str) -> None:
    """Train one of the teachers of a seed."""
    if teacher not in params.teachers:
        raise UserError(f"teachers: there is no {teacher}, known are {', '.join(params.teachers)}")
    store = FeatureStore(made(FEATURES))
    journal.tags({"teacher": teacher})
    with Training(journal, curve_path(seed, f"teacher_{teacher}"), f"{seed}-{teacher}") as fit:
        network = trained_alone(params, store, seed, teacher, fit)
    save(network, params.teachers[teacher].network, store, teacher_path(seed, teacher), journal)


def trained(params: Params, store: FeatureStore, seed: int, fit: Fit) -> nn.Module:
    """The teachers of a seed, one after another, as the one network that others learn from."""
    return together([trained_alone(params, store, seed, name, fit) for name in params.teachers])


def trained_alone(params: Params, store: FeatureStore, seed: int, name: str, fit: Fit) -> nn.Module:
    """One of the teachers of a seed."""
    stage = params.teachers[name]
    augment = (stage.augment or params.augment).masked(stage.spec_augment)
    own = seed if stage.seed == 0 else int(np.random.SeedSequence([seed, stage.seed]).generate_state(1)[0])
    network = untrained(stage.network, store, own)
    fit("train_teacher", network, store, Job(stage.schedule, params.training, augment, own))
    return network


if __name__ == "__main__":
    run(train_teacher, trains=True)
