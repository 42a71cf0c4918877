"""What decides the result of a training."""

from dataclasses import dataclass

import numpy as np

from asc_core.features.store import FeatureStore
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Layers, Schedule, TrainingConfig
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity


@dataclass(frozen=True)
class Job:
    """One training: everything that decides its result, but for the network and the clips.

    Attributes:
        teacher: a network to learn from as well as from the labels.
        sparsity: which weights are held at zero; None lets all of them learn.
        layers: which of the network learn.
        device: whose clips it learns from; None: all of them.
    """

    schedule: Schedule
    training: TrainingConfig
    augment: AugmentConfig
    seed: int
    teacher: Teacher | None = None
    sparsity: Sparsity | None = None
    layers: Layers = "all"
    device: str | None = None

    def rows(self, store: FeatureStore, split: str) -> np.ndarray:
        """The row numbers of the clips of a split that it is about."""
        rows = store.rows(split)
        return rows if self.device is None else rows[store.clips["device"].to_numpy()[rows] == self.device]

    @property
    def precise_bn(self) -> bool:
        """Whether statistics are measured anew at the end; of averaged weights and of a sparse network always.

        Pruning leaves channels that no longer vary. What a later norm makes of those is their constant, less its
        running mean, some 300 times over: a mean that is still on its way, or was taken in half precision, is too far
        off for that.
        """
        return self.training.precise_bn or self.training.ema is not None or self.sparsity is not None
