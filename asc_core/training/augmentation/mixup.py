"""Clips and labels between two (arXiv 1710.09412)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation
from asc_core.training.augmentation.beta import beta

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from asc_core.training.batches import Batch

ALPHA = Range(0, 100)


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Convex combinations of each clip and another one, labels alike, each with a weight from Beta(alpha, alpha).

    So are the answers of an offline teacher. With `alpha` 0 the batch stays as it is.
    """

    alpha: Annotated[float, ALPHA] = 0.3

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        if self.alpha == 0:
            return batch
        x = batch.x
        weight = beta(len(x), self.alpha, rng).to(x.device)  # (batch,)
        other = torch.randperm(len(x), generator=rng).to(x.device)
        w = weight[:, None, None, None].to(x.dtype)

        def mixed(rows: Tensor) -> Tensor:
            return weight[:, None] * rows + (1 - weight[:, None]) * rows[other]

        answers = None if batch.answers is None else mixed(batch.answers)
        return replace(batch, x=w * x + (1 - w) * x[other], targets=mixed(batch.targets), answers=answers)
