"""Stage train_teacher: the uncompressed network, from scratch."""

from torch import nn

from asc_core.features.store import FeatureStore
from asc_core.training.job import Job
from asc_core.training.loop import untrained
from pipeline.params import Params
from pipeline.paths import FEATURES, curve_path, made, model_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Fit, Training, save


def train_teacher(params: Params, journal: Journal, seed: int) -> None:
    """Train the teacher of a seed."""
    store = FeatureStore(made(FEATURES))
    with Training(journal, curve_path(seed, "teacher")) as fit:
        network = trained(params, store, seed, fit)
    save(network, params.teacher.network, store, model_path(seed, "teacher"), journal)


def trained(params: Params, store: FeatureStore, seed: int, fit: Fit) -> nn.Module:
    """The teacher of a seed."""
    stage = params.teacher
    network = untrained(stage.network, store, seed)
    fit(
        "train_teacher",
        network,
        store,
        Job(stage.schedule, params.training, params.augment.masked(stage.spec_augment), seed),
    )
    return network


if __name__ == "__main__":
    run(train_teacher, trains=True)
