"""Augmentations of a whole batch at a time. Shapes are (batch, 1, mel, frame); nothing loops over clips."""

import torch
from torch import Generator, Tensor

from asc_core.training.config import AugmentConfig, DeviceTransferConfig, FreqMixStyleConfig, SpecAugmentConfig


def time_roll(x: Tensor, max_frames: int, rng: Generator) -> Tensor:
    """Each clip rolled circularly in time by its own offset, uniform in [-max_frames, max_frames]."""
    batch, frames = x.shape[0], x.shape[-1]
    offsets = torch.randint(-max_frames, max_frames + 1, (batch, 1), generator=rng)
    index = (torch.arange(frames) - offsets) % frames  # (batch, frame)
    return x.gather(-1, index[:, None, None, :].expand(x.shape).to(x.device))


def device_transfer(x: Tensor, devices: Tensor, curves: Tensor, config: DeviceTransferConfig, rng: Generator) -> Tensor:
    """A share of the clips as another training device would have recorded them.

    A device that is a linear filter adds a constant to every band of the log-mel energies, so the difference of two
    devices' curves moves a clip from one to the other. Each clip moves with probability `config.p`, to any of the other
    devices with the same probability.

    Args:
        x: (batch, 1, mel, frame) log-mel energies.
        devices: (batch,) the device of each clip, a row of `curves`.
        curves: (devices, mel) log gains, as `FeatureStore.device_curves` estimates them.
    """
    batch, count = len(x), len(curves)
    if count < 2:
        return x
    step = torch.randint(1, count, (batch,), generator=rng).to(devices.device)
    moved = (torch.rand(batch, generator=rng) < config.p).to(x.device)
    gain = curves[(devices + step) % count] - curves[devices]  # (batch, mel)
    return x + (gain * moved[:, None])[:, None, :, None]


def freq_mixstyle(x: Tensor, config: FreqMixStyleConfig, rng: Generator, eps: float = 1e-6) -> Tensor:
    """The mean and deviation of each frequency mixed with those of another clip (MixStyle, arXiv 2104.02008, with the
    frequency-wise statistics of arXiv 2206.12513); labels stay. As in MixStyle, a batch is mixed as a whole or not.

    y = (lambda s + (1 - lambda) s') * (x - m) / s + (lambda m + (1 - lambda) m'), with m and s over channel and time.
    """
    if torch.rand((), generator=rng) >= config.p:
        return x
    weight = _beta(len(x), config.alpha, rng).to(x.device)[:, None, None, None]
    other = torch.randperm(len(x), generator=rng).to(x.device)
    variance, mean = torch.var_mean(x, dim=(1, 3), keepdim=True, correction=0)  # (batch, 1, mel, 1) each
    std = torch.sqrt(variance + eps)
    mixed_std, mixed_mean = (weight * own + (1 - weight) * own[other] for own in (std, mean))
    return mixed_std * (x - mean) / std + mixed_mean


def mixup(x: Tensor, targets: Tensor, alpha: float, rng: Generator) -> tuple[Tensor, Tensor]:
    """Convex combinations of each clip and another one, labels alike (arXiv 1710.09412).

    Args:
        x: (batch, 1, mel, frame) features.
        targets: (batch, classes) class probabilities.
        alpha: of the Beta(alpha, alpha) that each clip's weight is drawn from; 0 leaves the batch as it is.
    """
    if alpha <= 0:
        return x, targets
    weight = _beta(len(x), alpha, rng).to(x.device)  # (batch,)
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


def _beta(batch: int, alpha: float, rng: Generator) -> Tensor:
    """(batch,) numbers from Beta(alpha, alpha), as ratios of gammas; torch's Beta takes no generator."""
    gammas = torch._standard_gamma(torch.full((2, batch), alpha), generator=rng) + 1e-12
    return gammas[0] / gammas.sum(dim=0)


def augment(
    x: Tensor,
    targets: Tensor,
    config: AugmentConfig,
    *,
    frames_per_second: float,
    masks: bool,
    rng: Generator,
    devices: Tensor | None = None,
    curves: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A training batch as the network gets it: rolled, moved between devices, mixed and, where `masks`, masked.

    Args:
        x: (batch, 1, mel, frame) log-mel energies.
        targets: (batch, classes) class probabilities.
        devices, curves: what `device_transfer` takes; needed where `config` switches it on.
    """
    x = time_roll(x, round(config.roll_seconds * frames_per_second), rng)
    if config.device_transfer:
        assert devices is not None and curves is not None
        x = device_transfer(x, devices, curves, config.device_transfer, rng)
    if config.freq_mixstyle:
        x = freq_mixstyle(x, config.freq_mixstyle, rng)
    x, targets = mixup(x, targets, config.mixup_alpha, rng)
    if masks:
        x = spec_augment(x, config.spec_augment, rng)
    return x, targets
