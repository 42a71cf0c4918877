"""Clips with the mixed statistics of two (MixStyle, arXiv 2104.02008; frequency-wise as in arXiv 2206.12513)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation
from asc_core.training.augmentation.beta import beta

if TYPE_CHECKING:
    from torch import Generator

    from asc_core.training.batches import Batch

EPS = 1e-6


@dataclass(frozen=True)
class FreqMixStyle(Augmentation):
    """The mean and deviation of each frequency mixed with those of another clip; labels stay.

    y = (lambda s + (1 - lambda) s') * (x - m) / s + (lambda m + (1 - lambda) m'), with m and s over channel and time
    and lambda from Beta(alpha, alpha). As in MixStyle, a batch is mixed as a whole or not: a share `p` of them is.
    """

    alpha: Annotated[float, Range(0.001, 100)] = 0.3
    p: Annotated[float, Range(0, 1)] = 0.4

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        x = batch.x
        if torch.rand((), generator=rng) >= self.p:
            return batch
        weight = beta(len(x), self.alpha, rng).to(x.device)[:, None, None, None]
        other = torch.randperm(len(x), generator=rng).to(x.device)
        variance, mean = torch.var_mean(x, dim=(1, 3), keepdim=True, correction=0)  # (batch, 1, mel, 1) each
        std = torch.sqrt(variance + EPS)
        mixed_std, mixed_mean = (weight * own + (1 - weight) * own[other] for own in (std, mean))
        return replace(batch, x=mixed_std * (x - mean) / std + mixed_mean)
