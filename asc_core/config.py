"""The configuration dataclasses of the library: typed, with their defaults, and light to import.

They stand apart from the code that they configure so that reading a configuration loads no torch, and so that a change
of that code is not a change of every reader of a configuration.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from asc_core.errors import UserError


class Config:
    """Base of the configurations: a reader of configuration files refuses keys that they do not have."""

    # Read by pydantic where a pipeline validates its parameters with it; a plain attribute everywhere else.
    __pydantic_config__: ClassVar = {"extra": "forbid"}


@dataclass(frozen=True)
class SyntheticConfig(Config):
    """Size and seed of the corpus.

    Attributes:
        clip_seconds: length of every clip.
        train_recordings: recordings per scene in the training split, all of which exist for device a.
        train_copies: how many of them also exist for each other training device.
        test_recordings: recordings per scene in the test split, each through all nine devices.
        seed: of every random number but the devices' responses.

    Raises:
        UserError: a value is out of range.
    """

    clip_seconds: float = 2.0
    train_recordings: int = 30
    train_copies: int = 6
    test_recordings: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        seconds = self.clip_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.5 <= seconds <= 60:
            raise UserError(f"clip_seconds: must be a number from 0.5 to 60, not {seconds!r}")
        highest = {"train_copies": self.train_recordings}
        for name, lowest in (("train_recordings", 1), ("train_copies", 0), ("test_recordings", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise UserError(f"{name}: must be a whole number of at least {lowest}, not {value!r}")
            if value > highest.get(name, math.inf):
                raise UserError(f"{name}: {value} is more than the {highest[name]} of train_recordings")


@dataclass(frozen=True)
class FetchConfig(Config):
    """Where the archives come from and what becomes of them."""

    base_url: str = "https://zenodo.org/records/3819968/files"  # or a mirror: NAME?download=1 is appended
    archives: str | None = None  # a folder of archives: used instead of the network, never changed
    keep_archives: bool = False  # move downloaded archives to archives/ in the corpus instead of deleting them
    connections: int = 3  # archives downloaded at once


@dataclass(frozen=True)
class FeatureConfig(Config):
    """How sound becomes log-mel energies. Published: 256 bands at 16 kHz, 130 ms windows every 30 ms."""

    sample_rate: int = 16_000
    n_mels: int = 256
    window_ms: float = 130
    hop_ms: float = 30

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_mels", "window_ms", "hop_ms"):
            if getattr(self, name) <= 0:
                raise UserError(f"features.{name}: {getattr(self, name)} is not positive")
        if self.n_mels % 32:
            raise UserError(f"features.n_mels: {self.n_mels} is not a multiple of 32 (three halvings, four sub-bands)")

    @property
    def n_fft(self) -> int:
        """Window length in samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def hop_length(self) -> int:
        """Hop in samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    def frames(self, seconds: float) -> int:
        """How many frames a clip of that length has (windows are centred, so the last one starts at its end)."""
        return 1 + round(seconds * self.sample_rate) // self.hop_length


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network: its name, its width, and how it normalises frequencies (`asc_core.models.norm`).

    Attributes:
        tau: width of the BC-ResNets, in multiples of their smallest.
        width: channels of the first stage of `cp_resnet`.
    """

    name: Literal["bc_resnet_asc", "bc_resnet", "cp_resnet"] = "bc_resnet_asc"
    tau: float = 1
    norm: Literal["none", "resnorm", "resnorm_input", "freqin", "global_freqnorm", "fixed_pcen"] = "resnorm"
    width: int = 64

    def __post_init__(self) -> None:
        if not 0.1 <= self.tau <= 1000:
            raise UserError(f"network.tau: {self.tau} is not from 0.1 to 1000")
        if self.width < 1:
            raise UserError(f"network.width: {self.width} is less than 1")


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
class PruningConfig(Config):
    """How many of the convolution weights go, and by when.

    The ratio rises along a cubic (arXiv 1710.01878, equation 1), at the start of each of the first `rise_epochs`:
    many weights go while there are many, few when the network has come to depend on each. With 1 all go at once,
    before the training (arXiv 2206.13909, section 2.4).
    """

    ratio: float
    rise_epochs: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1 or self.rise_epochs < 1:
            raise UserError(f"prune: needs 0 <= ratio < 1 and rise_epochs >= 1; got {self}")

    def at(self, epoch: int) -> float:
        """The ratio in an epoch, counted from 0."""
        return self.ratio * (1 - max(0, 1 - (epoch + 1) / self.rise_epochs) ** 3)


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
