"""Clips begin anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation

if TYPE_CHECKING:
    from torch import Generator

    from asc_core.training.batches import Batch

SECONDS = Range(0, 3600)


@dataclass(frozen=True)
class Roll(Augmentation):
    """Each clip rolled circularly in time by its own offset, uniform in [-seconds, seconds]."""

    seconds: Annotated[float, SECONDS] = 1.5

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        x, most = batch.x, round(self.seconds * batch.frames_per_second)
        offsets = torch.randint(-most, most + 1, (len(x), 1), generator=rng)
        index = (torch.arange(x.shape[-1]) - offsets) % x.shape[-1]  # (batch, frame)
        return replace(batch, x=x.gather(-1, index[:, None, None, :].expand(x.shape).to(x.device)))
