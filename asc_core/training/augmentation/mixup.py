"""Clips and labels between two (arXiv 1710.09412)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation
from asc_core.training.augmentation.beta import beta

if TYPE_CHECKING:
    from torch import Generator

    from asc_core.training.batches import Batch

ALPHA = Range(0, 100)


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Convex combinations of each clip and another one, labels alike, each with a weight from Beta(alpha, alpha).

    With `alpha` 0 the batch stays as it is.
    """

    alpha: Annotated[float, ALPHA] = 0.3

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        if self.alpha == 0:
            return batch
        x, targets = batch.x, batch.targets
        weight = beta(len(x), self.alpha, rng).to(x.device)  # (batch,)
        other = torch.randperm(len(x), generator=rng).to(x.device)
        w = weight[:, None, None, None].to(x.dtype)
        return replace(
            batch,
            x=w * x + (1 - w) * x[other],
            targets=weight[:, None] * targets + (1 - weight[:, None]) * targets[other],
        )
