"""Which augmentations there are, and in which order a batch goes through them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, ClassVar

from asc_core.config import Config
from asc_core.training.augmentation.base import Augmentation
from asc_core.training.augmentation.device_transfer import DeviceTransfer
from asc_core.training.augmentation.freq_mixstyle import FreqMixStyle
from asc_core.training.augmentation.mixup import ALPHA, Mixup
from asc_core.training.augmentation.random_device import RandomDevice
from asc_core.training.augmentation.roll import SECONDS, Roll
from asc_core.training.augmentation.spec_augment import SpecAugment


@dataclass(frozen=True)
class AugmentConfig(Config):
    """What is done to training batches: an augmentation a line, in the order of the lines; None leaves one out.

    A new augmentation is a subclass of `Augmentation` in a file of its own, and a line here.
    """

    roll_seconds: Annotated[float, SECONDS] = 1.5
    device_transfer: DeviceTransfer | None = None
    random_device: RandomDevice | None = None
    freq_mixstyle: FreqMixStyle | None = None
    mixup_alpha: Annotated[float, ALPHA] = 0.3
    spec_augment: SpecAugment | None = field(default=SpecAugment())

    # Those that are configured by a single number.
    numbers: ClassVar[dict[str, Callable[[float], Augmentation]]] = {"roll_seconds": Roll, "mixup_alpha": Mixup}

    def augmentations(self) -> list[Augmentation]:
        """Those that are on, in the order in which a batch goes through them."""
        found = []
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if value is not None:
                found.append(self.numbers[name](value) if name in self.numbers else value)
        return found

    def masked(self, on: bool) -> "AugmentConfig":
        """The same with SpecAugment, or without: published for networks of tau 8 only."""
        return self if on else replace(self, spec_augment=None)
