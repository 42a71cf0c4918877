"""How much of a network goes."""

from dataclasses import dataclass
from typing import Annotated

from asc_core.config import Config, Range

TEMPERATURES = Range(0.05, 20)  # what logits may be divided by; beyond it, something else is wrong


@dataclass(frozen=True)
class PruningConfig(Config):
    """How many of the convolution weights go, and by when.

    The ratio rises along a cubic (arXiv 1710.01878, equation 1), at the start of each of the first `rise_epochs`:
    many weights go while there are many, few when the network has come to depend on each. With 1 all go at once,
    before the training (arXiv 2206.13909, section 2.4).
    """

    ratio: Annotated[float, Range(0, 0.999)]
    rise_epochs: Annotated[int, Range(1, 10_000)] = 1

    def at(self, epoch: int) -> float:
        """The ratio in an epoch, counted from 0."""
        return self.ratio * (1 - max(0, 1 - (epoch + 1) / self.rise_epochs) ** 3)
