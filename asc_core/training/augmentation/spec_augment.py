"""Clips with parts that nobody hears (SpecAugment without warping, arXiv 1904.08779)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from asc_core.training.batches import Batch


@dataclass(frozen=True)
class SpecAugment(Augmentation):
    """Bands and stretches of time of each clip set to the clip's mean; widths uniform from 0 to the maximum.

    A maximum that is wider than the clip means the whole clip.
    """

    frequency_masks: Annotated[int, Range(0, 100)] = 2
    max_bands: Annotated[int, Range(0, 10_000)] = 40
    time_masks: Annotated[int, Range(0, 100)] = 2
    max_frames: Annotated[int, Range(0, 1_000_000)] = 80

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        count, _, bands, frames = batch.x.shape
        masked = _stripes(count, bands, self.frequency_masks, self.max_bands, rng)[:, None, :, None]
        masked = masked | _stripes(count, frames, self.time_masks, self.max_frames, rng)[:, None, None, :]
        mean = batch.x.mean(dim=(1, 2, 3), keepdim=True)
        return replace(batch, x=torch.where(masked.to(batch.x.device), mean, batch.x))


def _stripes(batch: int, size: int, count: int, max_width: int, rng: Generator) -> Tensor:
    """(batch, size) bool: the union of `count` random stripes for each clip."""
    import torch

    width = torch.randint(0, min(max_width, size) + 1, (batch, count, 1), generator=rng)
    start = (torch.rand((batch, count, 1), generator=rng) * (size - width + 1)).long()
    at = torch.arange(size)
    return ((at >= start) & (at < start + width)).any(dim=1)
