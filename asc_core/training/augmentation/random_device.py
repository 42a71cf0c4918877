"""Clips as devices that nobody owns would have recorded them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Config, Range
from asc_core.errors import ConfigError
from asc_core.training.augmentation.base import Augmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from asc_core.features.config import FeatureConfig
    from asc_core.training.batches import Batch

LOG_PER_DB = log(10) / 10  # of energies
WAVES = 8  # cosines in a random curve

Share = Annotated[float, Range(0, 1)]
Decibels = Annotated[float, Range(0, 200)]
Hertz = Annotated[float, Range(1, 100_000)]
Ratio = Annotated[float, Range(1, 100)]


@dataclass(frozen=True)
class Part(Config):
    """A part of a device; `p` is the share of the clips that it changes. Pairs are [least, most], drawn uniformly."""

    p: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (each.name for each in fields(self)):
            pair = getattr(self, name)
            if isinstance(pair, tuple) and pair[0] > pair[1]:
                raise ConfigError(f"the least, {pair[0]}, must not be more than the most, {pair[1]}", name)


@dataclass(frozen=True)
class Response(Part):
    """A linear response: a gain in each band whose mean over the bands is 0 dB.

    One of the measured impulse responses in `folder`, each as often as the others, or without a folder a smooth random
    curve. Its deviation over the bands is `curve_db` on average, which for 52 measured microphones was 4.4. Most of
    that was in the lowest bands: at 100 Hz they had lost 2 dB in the median and 20 dB one in twenty, at 24 Hz 21 and
    38. `low_cut_hz` adds such a loss to the curve: a Butterworth high-pass of second order (12 dB an octave), its
    cutoff between these frequencies, evenly on a logarithmic scale.

    The content of the folder is part of a training's result, so `fingerprint` has to be that of its content: a training
    with others, or without a fingerprint, is an error that says what it is.

    Raises:
        ConfigError: a fingerprint without a folder, or a low cut with one.
    """

    p: Share = 0.6
    folder: str | None = None
    fingerprint: str | None = None
    curve_db: Decibels = 4
    low_cut_hz: tuple[Hertz, Hertz] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fingerprint and self.folder is None:
            raise ConfigError("needs a folder that it is the fingerprint of", "fingerprint")
        if self.low_cut_hz and self.folder is not None:
            raise ConfigError("goes with random curves: measured responses have cuts of their own", "low_cut_hz")

    def gains(self, count: int, config: FeatureConfig, rng: Generator) -> Tensor:
        """(count, mel) natural logarithms of energy gains."""
        import torch

        if self.folder:
            from asc_core.training.augmentation.responses import band_gains

            measured = band_gains(Path(self.folder), self.fingerprint, config)
            return measured[torch.randint(len(measured), (count,), generator=rng)]
        waves = torch.arange(1, WAVES + 1)
        bands = (torch.arange(config.n_mels) + 0.5) / config.n_mels
        curves = torch.cos(torch.pi * waves[:, None] * bands) / waves[:, None]  # (wave, mel), each with a mean of 0
        scale = self.curve_db * LOG_PER_DB * sqrt(2 / waves.double().pow(-2).sum().item())
        gains = scale * torch.randn((count, WAVES), generator=rng) @ curves
        if self.low_cut_hz is None:
            return gains
        cutoffs = _uniform(count, (log(self.low_cut_hz[0]), log(self.low_cut_hz[1])), rng).exp()
        high_pass = -torch.log1p((cutoffs[:, None] / _edges(config)[1:-1]) ** 4)
        return gains + (high_pass - high_pass.mean(dim=1, keepdim=True)).float()


@dataclass(frozen=True)
class Compressor(Part):
    """Above a threshold, so many decibels below the clip's loudest frame, the level rises `ratio` times as slowly."""

    threshold_db: tuple[Decibels, Decibels] = (10, 30)
    ratio: tuple[Ratio, Ratio] = (1.5, 6.5)


@dataclass(frozen=True)
class Noise(Part):
    """A floor of white noise, so many decibels below the clip's loudest cell.

    White noise has the same energy in every band, as mel filters (Slaney's) have the same area.
    """

    below_db: tuple[Decibels, Decibels] = (40, 90)


@dataclass(frozen=True)
class RandomDevice(Augmentation):
    """Each clip through a device of its own: a response, then a compressor, then noise, each with its probability.

    On energies instead of samples: a response that is shorter than a window multiplies each band, and a compressor
    that is as fast as a window each frame. No cell falls below the energy of digital silence.
    """

    response: Response = Response()
    compressor: Compressor = Compressor()
    noise: Noise = Noise()

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        from asc_core.features.log_mel import ENERGY_FLOOR

        x, config = batch.x, batch.store.config
        count = len(x)
        gains = self.response.gains(count, config, rng) * _some(count, self.response.p, rng)[:, None]
        x = x + gains.to(x)[:, None, :, None]

        threshold = LOG_PER_DB * _uniform(count, self.compressor.threshold_db, rng)
        slope = (1 - 1 / _uniform(count, self.compressor.ratio, rng)) * _some(count, self.compressor.p, rng)
        level = _level(x, config)  # (batch, frame)
        over = (level - level.amax(dim=1, keepdim=True) + threshold.to(x)[:, None]).clamp(min=0)
        x = (x - (slope.to(x)[:, None] * over)[:, None, None, :]).clamp(min=log(ENERGY_FLOOR))

        below = LOG_PER_DB * _uniform(count, self.noise.below_db, rng)
        floor = x.amax(dim=(1, 2, 3)) - below.to(x)
        floor = floor.masked_fill(~_some(count, self.noise.p, rng).to(x.device), -float("inf"))
        return replace(batch, x=x.logaddexp(floor[:, None, None, None]))


def _some(count: int, p: float, rng: Generator) -> Tensor:
    """(count,) bool, each true with probability `p`."""
    import torch

    return torch.rand(count, generator=rng) < p


def _uniform(count: int, bounds: tuple[float, float], rng: Generator) -> Tensor:
    import torch

    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, generator=rng)


def _level(x: Tensor, config: FeatureConfig) -> Tensor:
    """Logarithms of the power of each frame, but for a constant: (batch, frame).

    A band counts by its width, by which its filter's energy was divided.
    """
    import torch

    edges = _edges(config)
    return torch.logsumexp(x[:, 0] + (edges[2:] - edges[:-2]).log().to(x)[:, None], dim=1)


def _edges(config: FeatureConfig) -> Tensor:
    """Frequencies in hertz between which the bands lie: (mel + 2,). Band i peaks at number i + 1."""
    import librosa
    import torch

    return torch.from_numpy(librosa.mel_frequencies(config.n_mels + 2, fmin=0, fmax=config.sample_rate / 2))
