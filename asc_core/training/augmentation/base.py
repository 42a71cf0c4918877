"""What every augmentation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from asc_core.config import Config

if TYPE_CHECKING:
    from torch import Generator

    from asc_core.training.batches import Batch


class Augmentation(Config, ABC):
    """One change to training batches. A subclass is a frozen dataclass: its fields are its configuration."""

    @abstractmethod
    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """The changed batch; all that is random in it comes from `rng`."""
