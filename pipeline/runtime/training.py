"""What the training stages share and no result depends on: progress into the journal, a state to continue from."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.files import digest
from asc_core.models import checkpoint
from asc_core.models.checkpoint import contiguous
from asc_core.models.config import NetworkConfig
from asc_core.training import distributed, loop
from asc_core.training.job import Job
from asc_core.training.saved import checksum
from pipeline.runtime.curve import Curve
from pipeline.runtime.journal import Journal, write_text

STATES = Path(".state/training")

# Trains a network in place: (name of the stage, network, store, job).
Fit = Callable[[str, nn.Module, FeatureStore, Job], None]


class Training:
    """The trainings of a stage (a context manager, which gives the `Fit` that does them).

    Where several processes share them, all but the first end with the last one: one writes what comes of it.

    Args:
        curve: where to leave the learning curve, of a stage that has one training, or none: then it has no epochs.
        name: what progress lines say behind the stage, unless that is the seed of the job.
    """

    def __init__(self, journal: Journal, curve: Path | None = None, name: str = "") -> None:
        self.journal, self.curve, self.name, self.trained = journal, curve, name, False

    def __enter__(self) -> Fit:
        return self.fit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and distributed.leave() > 0:
            raise SystemExit(0)
        if error is None and self.curve and not self.trained:
            write_text(self.curve, "epoch,loss\n")

    def fit(self, stage: str, network: nn.Module, store: FeatureStore, job: Job) -> None:
        """Train `network` in place; an interrupted training of the same job on the same clips goes on.

        Raises:
            UserError: the training fails for a reason that the user can mend.
        """
        saved = state_path(stage, network, store, job)
        curve = Curve(saved.with_suffix(".csv")) if self.curve else None
        self.trained = True
        label = f"{stage}@{self.name or job.seed}" + (f" {job.device}" if job.device else "")

        def told(metrics: dict[str, Any]) -> dict[str, Any]:
            return {job.device: metrics} if job.device else metrics  # such a stage has a training for each device

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            if curve:
                curve.add(epoch, metrics)
            self.journal.metrics(told(metrics), step=epoch)
            self.journal.send()

        self.journal.metrics(told({"clips": len(job.rows(store, "train"))}))
        try:
            loop.fit(network, store, job, label=label, saved=saved, on_epoch=on_epoch)
        except loop.Diverged as error:
            raise UserError(f"{error}; lower the learning_rate of this stage") from None
        if self.curve and curve and distributed.rank() == 0:
            curve.move(self.curve)


def state_path(stage: str, network: nn.Module, store: FeatureStore, job: Job) -> Path:
    """Where the state of a training is kept that begins with `network` as it is: the same for the same training."""
    networks = [network, job.teacher.network] if job.teacher else [network]
    weights = [checksum(contiguous(each.state_dict())) for each in networks]
    return STATES / f"{digest(stage, repr(job), weights, store.key())}.safetensors"


def save(network: nn.Module, config: NetworkConfig, store: FeatureStore, path: Path, journal: Journal) -> None:
    """Write the checkpoint of a stage and report it."""
    checkpoint.save(path, network, config, store.scenes, features=store.description)
    journal.artifact(path)
