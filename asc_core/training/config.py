"""How a network is trained."""

import math
from dataclasses import dataclass
from typing import Literal

from asc_core.config import Config
from asc_core.errors import UserError


@dataclass(frozen=True)
class SpecAugmentConfig(Config):
    """SpecAugment without warping (arXiv 1904.08779): masks as wide as up to `max_bands` and `max_frames`."""

    frequency_masks: int = 2
    max_bands: int = 40
    time_masks: int = 2
    max_frames: int = 80


@dataclass(frozen=True)
class FreqMixStyleConfig(Config):
    """Freq-MixStyle: a share `p` of the batches gets mixed statistics, weights drawn from Beta(alpha, alpha)."""

    alpha: float = 0.3
    p: float = 0.4

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and 0 <= self.p <= 1):
            raise UserError(f"freq_mixstyle: needs alpha > 0 and 0 <= p <= 1; got {self}")


@dataclass(frozen=True)
class DeviceTransferConfig(Config):
    """A share `p` of the clips moves to another training device, by the difference of the devices' mean spectra."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise UserError(f"device_transfer.p: {self.p} is not in [0, 1]")


@dataclass(frozen=True)
class AugmentConfig(Config):
    """What is done to training batches. `spec_augment` applies where a stage asks for it (published: tau 8 only)."""

    roll_seconds: float = 1.5
    mixup_alpha: float = 0.3
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()
    freq_mixstyle: FreqMixStyleConfig | None = None
    device_transfer: DeviceTransferConfig | None = None


@dataclass(frozen=True)
class Schedule(Config):
    """How long and how fast: the rate rises linearly to `learning_rate`, then falls to 0 along a cosine."""

    epochs: int
    learning_rate: float
    warmup_epochs: float = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.learning_rate <= 0 or not 0 <= self.warmup_epochs < self.epochs:
            raise UserError(f"schedule: needs epochs >= 1, learning_rate > 0, 0 <= warmup_epochs < epochs; got {self}")

    def rate(self, epoch: float) -> float:
        """Learning rate at a (fractional) epoch."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        progress = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class TrainingConfig(Config):
    """What all trainings share.

    `precision` auto is bfloat16 where the hardware multiplies in it, else float32; for `precise_bn` see the module.
    """

    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 1e-3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    precise_bn: bool = False
    test_every: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise UserError(f"training.batch_size: {self.batch_size} is less than 2, batch normalisation needs two")


@dataclass(frozen=True)
class DistillationConfig(Config):
    """Share of the loss that comes from the teacher, and the temperature of both softmaxes (arXiv 1503.02531)."""

    weight: float = 0.5
    temperature: float = 2.0
