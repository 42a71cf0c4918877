"""Normalisations over frequency: the ideas that make a network indifferent to the recording device.

Shapes are (batch, channel, frequency, time) throughout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.errors import UserError


class InputNorm(nn.Module):
    """Log-mel energies minus a mean, over a standard deviation, both fixed before training.

    With one number for each it only brings the input to a common scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor | float = 0.0, std: Tensor | float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class ResidualNorm(nn.Module):
    """ResNorm(x) = lambda * x + FreqIN(x) (arXiv 2111.06531, section 2.2).

    FreqIN normalises each frequency of each clip by its mean and variance over channels and time, without affine
    parameters: what a device adds to a band (its frequency response) goes, what lambda lets through keeps the scene's
    own spectrum. It is not `InstanceNorm2d`, whose statistics are per channel.
    """

    def __init__(self, shortcut: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.shortcut, self.eps = shortcut, eps

    def forward(self, x: Tensor) -> Tensor:
        by_frequency = x.transpose(1, 2)  # (batch, frequency, channel, time): FreqIN is a layer norm of each frequency
        normalised = functional.layer_norm(by_frequency, by_frequency.shape[2:], eps=self.eps).transpose(1, 2)
        return torch.add(normalised, x, alpha=self.shortcut)

    def extra_repr(self) -> str:
        return f"shortcut={self.shortcut}"


class SubSpectralNorm(nn.Module):
    """Batch normalisation with its own statistics and affine for each of `groups` sub-bands (arXiv 2103.13620).

    The sub-bands become channels, so the work is one `BatchNorm2d` over channels * groups.

    Raises:
        UserError: at the first batch whose frequency axis cannot be split into `groups` equal parts.
    """

    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__()
        self.groups = groups
        self.norm: nn.Module = nn.BatchNorm2d(channels * groups)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, frequencies, frames = x.shape
        if frequencies % self.groups:
            raise UserError(
                f"{frequencies} frequencies cannot be split into {self.groups} sub-bands: "
                f"choose features.n_mels as a multiple of {8 * self.groups}"
            )
        x = x.reshape(batch, channels * self.groups, frequencies // self.groups, frames)
        return self.norm(x).reshape(batch, channels, frequencies, frames)


def after_stage(norm: str) -> nn.Module:
    """The layer that the configuration `norm` puts at the input and after every stage.

    Raises:
        UserError: `norm` is not one of NORMS.
    """
    if norm not in NORMS:
        raise UserError(f"norm: unknown name {norm!r}, known are {', '.join(NORMS)}")
    return NORMS[norm]()


NORMS = {"none": nn.Identity, "resnorm": ResidualNorm}
