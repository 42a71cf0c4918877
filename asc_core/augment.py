"""Augmentations of a whole batch at a time. Shapes are (batch, 1, mel, frame); nothing loops over clips."""

import torch
from torch import Generator, Tensor

from asc_core.config import AugmentConfig, SpecAugmentConfig


def time_roll(x: Tensor, max_frames: int, rng: Generator) -> Tensor:
    """Each clip rolled circularly in time by its own offset, uniform in [-max_frames, max_frames]."""
    batch, frames = x.shape[0], x.shape[-1]
    offsets = torch.randint(-max_frames, max_frames + 1, (batch, 1), generator=rng)
    index = (torch.arange(frames) - offsets) % frames  # (batch, frame)
    return x.gather(-1, index[:, None, None, :].expand(x.shape).to(x.device))


def mixup(x: Tensor, targets: Tensor, alpha: float, rng: Generator) -> tuple[Tensor, Tensor]:
    """Convex combinations of each clip and another one, labels alike (arXiv 1710.09412).

    Args:
        x: (batch, 1, mel, frame) features.
        targets: (batch, classes) class probabilities.
        alpha: of the Beta(alpha, alpha) that each clip's weight is drawn from; 0 leaves the batch as it is.
    """
    if alpha <= 0:
        return x, targets
    # Beta(a, a) as a ratio of gammas; torch's Beta takes no generator.
    gammas = torch._standard_gamma(torch.full((2, len(x)), alpha), generator=rng) + 1e-12
    weight = (gammas[0] / gammas.sum(dim=0)).to(x.device)  # (batch,)
    other = torch.randperm(len(x), generator=rng).to(x.device)
    w = weight[:, None, None, None].to(x.dtype)
    mixed_targets = weight[:, None] * targets + (1 - weight[:, None]) * targets[other]
    return w * x + (1 - w) * x[other], mixed_targets


def spec_augment(x: Tensor, config: SpecAugmentConfig, rng: Generator) -> Tensor:
    """Bands and stretches of time of each clip set to the clip's mean; widths uniform from 0 to the maximum."""
    batch, _, bands, frames = x.shape
    masked = _stripes(batch, bands, config.frequency_masks, config.max_bands, rng)[:, None, :, None]
    masked = masked | _stripes(batch, frames, config.time_masks, config.max_frames, rng)[:, None, None, :]
    return torch.where(masked.to(x.device), x.mean(dim=(1, 2, 3), keepdim=True), x)


def _stripes(batch: int, size: int, count: int, max_width: int, rng: Generator) -> Tensor:
    """(batch, size) bool: the union of `count` random stripes for each clip."""
    width = torch.randint(0, min(max_width, size) + 1, (batch, count, 1), generator=rng)
    start = (torch.rand((batch, count, 1), generator=rng) * (size - width + 1)).long()
    at = torch.arange(size)
    return ((at >= start) & (at < start + width)).any(dim=1)


def augment(
    x: Tensor, targets: Tensor, config: AugmentConfig, *, frames_per_second: float, masks: bool, rng: Generator
) -> tuple[Tensor, Tensor]:
    """A training batch as the network gets it: rolled, mixed and, where `masks`, masked.

    Args:
        x: (batch, 1, mel, frame) log-mel energies.
        targets: (batch, classes) class probabilities.
    """
    x = time_roll(x, round(config.roll_seconds * frames_per_second), rng)
    x, targets = mixup(x, targets, config.mixup_alpha, rng)
    if masks:
        x = spec_augment(x, config.spec_augment, rng)
    return x, targets
