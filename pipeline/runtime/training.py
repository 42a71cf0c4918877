"""What the training stages share and no result depends on: progress into the journal, a state to continue from."""

from pathlib import Path

from torch import nn

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.files import digest
from asc_core.models import checkpoint
from asc_core.models.checkpoint import contiguous
from asc_core.models.config import NetworkConfig
from asc_core.training import distributed
from asc_core.training.job import Job
from asc_core.training.loop import Diverged, fit
from asc_core.training.saved import checksum
from pipeline.runtime.journal import Journal

STATES = Path(".state/training")


def train(
    stage: str, network: nn.Module, store: FeatureStore, job: Job, journal: Journal, *, last: bool = True
) -> None:
    """Train `network` in place; an interrupted training of the same job on the same clips goes on.

    Where several processes share the training, all but the first end with the `last` of their stage: one writes what
    comes of it.

    Raises:
        UserError: the training fails for a reason that the user can mend.
    """
    networks = [network, job.teacher.network] if job.teacher else [network]
    weights = [checksum(contiguous(each.state_dict())) for each in networks]
    saved = STATES / f"{digest(stage, repr(job), weights, store.key())}.safetensors"
    journal.metrics({"clips": len(store.rows("train"))})

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        journal.metrics(metrics, step=epoch)
        journal.send()

    try:
        fit(network, store, job, label=f"{stage}@{job.seed}", saved=saved, on_epoch=on_epoch)
    except Diverged as error:
        raise UserError(f"{error}; lower the learning_rate of this stage") from None
    if last and distributed.leave() > 0:
        raise SystemExit(0)


def save(network: nn.Module, config: NetworkConfig, store: FeatureStore, path: Path, journal: Journal) -> None:
    """Write the checkpoint of a stage and report it."""
    checkpoint.save(path, network, config, store.scenes, features=store.description)
    journal.artifact(path)
