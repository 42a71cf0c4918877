"""How long and how fast a network is trained, and what it may learn from."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from asc_core.config import Config, Range
from asc_core.errors import ConfigError

Layers = Literal["all", "norms"]  # what of a network learns: all of it, or all but the weights of its convolutions


@dataclass(frozen=True)
class Schedule(Config):
    """How long, how fast and by what: the rate rises linearly to `learning_rate`, then falls to 0 along a cosine.

    A learning rate goes with an optimiser: AdamW's are far below those of SGD. `weight_decay` None is that of
    `TrainingConfig`.
    """

    epochs: Annotated[int, Range(1, 100_000)]
    learning_rate: Annotated[float, Range(1e-12, 1000)]
    warmup_epochs: Annotated[float, Range(0, 100_000)] = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: Annotated[float, Range(0, 1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(f"{self.warmup_epochs} is not less than the {self.epochs} epochs", "warmup_epochs")

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
    With `ema` a training ends with averages of its weights (`averages`), which keep so much of themselves at a step.
    """

    batch_size: Annotated[int, Range(2, 65_536)] = 64  # batch normalisation needs two
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    weight_decay: Annotated[float, Range(0, 1)] = 1e-3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    precise_bn: bool = False
    ema: Annotated[float, Range(0, 0.99999)] | None = None


@dataclass(frozen=True)
class DistillationConfig(Config):
    """Share of the loss that comes from the teacher, and the temperature of both softmaxes (arXiv 1503.02531).

    An `offline` teacher hears every clip once, as the corpus has it, whatever augmentations make of it for the student.
    """

    weight: Annotated[float, Range(0, 1)] = 0.5
    temperature: Annotated[float, Range(0.01, 1000)] = 2.0
    offline: bool = False
