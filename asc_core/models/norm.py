"""Normalisations over frequency: the ideas that make a network indifferent to the recording device.

Every equation stands with its class; a `Placement` says which of them a configured `norm` puts where, and its entry in
`config.NORMS` gives it a name. Shapes are (batch, channel, frequency, time) throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.errors import UserError
from asc_core.models.config import NORMS


class InputNorm(nn.Module):
    """Log-mel energies minus a mean, over a standard deviation, both fixed before training.

    With one number for each it only brings the input to a common scale.

    Raises:
        UserError: at the first batch that has another number of bands than the statistics.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor | float = 0.0, std: Tensor | float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1))

    def fit(self, mean: Tensor, std: Tensor, frames_per_second: float) -> None:
        """Take the scale of a training split with these statistics (mel,) of its bands."""
        overall = mean.mean()
        self._set(overall, (std.square() + (mean - overall).square()).mean().sqrt())

    def _set(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = (values.to(self.mean).reshape(-1, 1) for values in (mean, std))

    def forward(self, x: Tensor) -> Tensor:
        bands = self.mean.shape[0]
        if bands not in (1, x.shape[-2]):
            raise UserError(f"features of {x.shape[-2]} bands for a network that was trained on {bands}")
        return (x - self.mean) / self.std


class GlobalFreqNorm(InputNorm):
    """Global FreqNorm: (x - m_f) / s_f with mean and deviation of each band f over the training split.

    Unlike FreqIN it is the same for all clips, so what a device adds to a band stays.
    """

    def fit(self, mean: Tensor, std: Tensor, frames_per_second: float) -> None:
        """Take these (mel,) statistics; a band that never changes gets a deviation above zero."""
        self._set(mean, std.clamp_min(1e-5))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *more: Any) -> None:
        # How many bands there are is known to the state alone.
        mean, std = state.get(f"{prefix}mean"), state.get(f"{prefix}std")
        if mean is not None and std is not None and mean.shape == std.shape == (len(mean), 1):
            self._set(torch.zeros(len(mean)), torch.ones(len(std)))
        super()._load_from_state_dict(state, prefix, *more)


class FixedPCEN(nn.Module):
    """Per-channel energy normalisation with fixed parameters, in place of the logarithm (arXiv 1607.05666).

    M[t] = (1 - b) M[t - 1] + b E[t],  PCEN[t] = (E[t] / (eps + M[t])^gain + bias)^power - bias^power

    The same numbers as `librosa.pcen(E)` with its defaults: b follows from a time constant of 0.4 s, and M starts from
    1. E are the mel energies of the feature store, back from their logarithm and scaled by 2^31, librosa's advice for
    samples in [-1, 1), which lifts them far above eps. librosa's example applies PCEN to mel magnitudes; energies are
    what the paper defines it on and what is stored (the mel filters add up powers, so no root of the sum is the sum of
    the roots).
    """

    smoothing: Tensor

    GAIN, BIAS, POWER, EPS = 0.98, 2.0, 0.5, 1e-6
    SECONDS = 0.4  # time constant of the smoother
    LOG_SCALE = 31 * math.log(2)

    def __init__(self, frames_per_second: float = 100 / 3) -> None:
        super().__init__()
        self.register_buffer("smoothing", torch.tensor(self.coefficient(frames_per_second)))

    @classmethod
    def coefficient(cls, frames_per_second: float) -> float:
        """b of the smoother: the solution of T^2 b^2 + b = 1 for a time constant of T frames."""
        squared = (cls.SECONDS * frames_per_second) ** 2
        return (math.sqrt(1 + 4 * squared) - 1) / (2 * squared)

    def fit(self, mean: Tensor, std: Tensor, frames_per_second: float) -> None:
        """Take the time constant at this rate; statistics play no part."""
        self.smoothing.fill_(self.coefficient(frames_per_second))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            energy = torch.exp(x.float() + self.LOG_SCALE).movedim(-1, 0).contiguous()  # (time, batch, 1, frequency)
            smooth = self._smooth(energy)
            # (eps + M)^-gain through logarithms, as librosa does: eps is far below the resolution of M.
            gain = torch.exp(-self.GAIN * (math.log(self.EPS) + torch.log1p(smooth / self.EPS)))
            y = self.BIAS**self.POWER * torch.expm1(self.POWER * torch.log1p(energy * gain / self.BIAS))
            return y.movedim(0, -1).contiguous()

    def _smooth(self, energy: Tensor) -> Tensor:
        """M of every frame, from (time, ...) energies; one step in time for all clips and bands at once."""
        state, states = torch.ones_like(energy[0]), []
        for frame in energy:
            state = torch.lerp(state, frame, self.smoothing)
            states.append(state)
        return torch.stack(states)


class ResidualNorm(nn.Module):
    """ResNorm(x) = lambda * x + FreqIN(x) (arXiv 2111.06531, section 2.2).

    FreqIN normalises each frequency of each clip by its mean and variance over channels and time, without affine
    parameters: what a device adds to a band (its frequency response) goes, what lambda lets through keeps the scene's
    own spectrum. It is not `InstanceNorm2d`, whose statistics are per channel. With lambda = 0 it is FreqIN alone.
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


class StepwiseResidualNorm(nn.Module):
    """A `ResidualNorm` step by step: for any number of frames, where an exporter wants constants for a layer norm,
    without its transposes, and with the mean along time, which lies together in memory, taken first."""

    def __init__(self, norm: ResidualNorm) -> None:
        super().__init__()
        self.shortcut, self.eps = norm.shortcut, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        mean = self._mean(x)
        centred = x - mean
        gain = torch.rsqrt(self._mean(centred * centred) + self.eps)
        return centred * (gain + self.shortcut) + self.shortcut * mean

    @staticmethod
    def _mean(x: Tensor) -> Tensor:
        """Over time and channels: (batch, channel, frequency, time) to (batch, 1, frequency, 1)."""
        return x.mean(3, keepdim=True).mean(1, keepdim=True)


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
                f"the number of mel bands has to be a multiple of {8 * self.groups}"
            )
        x = x.reshape(batch, channels * self.groups, frequencies // self.groups, frames)
        return self.norm(x).reshape(batch, channels, frequencies, frames)


@dataclass(frozen=True)
class Placement:
    """What a configured `norm` puts where: the input layer, the layer behind it, and the one after every stage."""

    input: Callable[[], nn.Module]
    at_input: Callable[[], nn.Module]
    after_stage: Callable[[], nn.Module]


FreqIN = partial(ResidualNorm, shortcut=0.0)

# The ablation of arXiv 2111.06531.
NONE = Placement(InputNorm, nn.Identity, nn.Identity)
RESNORM = Placement(InputNorm, ResidualNorm, ResidualNorm)
RESNORM_INPUT = Placement(InputNorm, ResidualNorm, nn.Identity)
FREQIN = Placement(InputNorm, FreqIN, FreqIN)  # "w/o shortcut"
GLOBAL_FREQNORM = Placement(GlobalFreqNorm, nn.Identity, nn.Identity)
FIXED_PCEN = Placement(FixedPCEN, nn.Identity, nn.Identity)


def placement(norm: str) -> Placement:
    """What the normalisation of a name, one of `config.NORMS`, puts where."""
    return resolve_name(NORMS[norm])
