"""What the training stages share: a job from the parameters, progress into the journal, a state to continue from."""

import hashlib
from pathlib import Path

from torch import nn

from asc_core.compression.config import PruningConfig
from asc_core.features.store import FeatureStore
from asc_core.files import digest
from asc_core.models import checkpoint
from asc_core.models.checkpoint import contiguous
from asc_core.models.config import NetworkConfig
from asc_core.training import distributed
from asc_core.training.config import Schedule
from asc_core.training.loop import Job, Teacher, fit
from pipeline.params import Params
from pipeline.runtime.journal import Journal

STATES = Path(".state/training")


def train(
    stage: str,
    network: nn.Module,
    store: FeatureStore,
    params: Params,
    journal: Journal,
    seed: int,
    schedule: Schedule,
    *,
    masks: bool,
    teacher: Path | None = None,
    frozen_zeros: bool = False,
    pruning: PruningConfig | None = None,
    last: bool = True,
) -> None:
    """Train `network` in place as the parameters of a stage say; an interrupted training of the same job goes on.

    With the checkpoint of a `teacher` the network also learns from it, as the parameters say. Where several processes
    share the training, all but the first end with the `last` of their stage: one writes what comes of it.

    Raises:
        UserError: the teacher is missing, or the training fails for a reason that the user can mend.
    """
    tutor = Teacher(checkpoint.load(teacher)[0], params.distillation) if teacher else None
    job = Job(schedule, params.training, params.augment, seed, masks, tutor, frozen_zeros, pruning)
    key = digest(stage, repr(job), _weights_hash(network), _weights_hash(tutor.network) if tutor else "", store.key())
    journal.metrics({"clips": len(store.rows("train"))})

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        journal.metrics(metrics, step=epoch)
        journal.send()

    fit(network, store, job, label=f"{stage}@{seed}", state=STATES / f"{key}.safetensors", on_epoch=on_epoch)
    if last:
        distributed.leave()


def save(network: nn.Module, config: NetworkConfig, store: FeatureStore, path: Path, journal: Journal) -> None:
    """Write the checkpoint of a stage and report it."""
    checkpoint.save(path, network, config, store.scenes, features=store.description)
    journal.artifact(path)


def _weights_hash(network: nn.Module) -> str:
    whole = hashlib.sha256()
    for tensor in contiguous(network.state_dict()).values():
        whole.update(tensor.numpy().tobytes())
    return whole.hexdigest()
