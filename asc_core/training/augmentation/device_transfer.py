"""Clips as another device would have recorded them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from asc_core.config import Range
from asc_core.training.augmentation.base import Augmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

    from asc_core.features.store import FeatureStore
    from asc_core.training.batches import Batch


@dataclass(frozen=True)
class DeviceTransfer(Augmentation):
    """A share `p` of the clips moves to another training device, by the difference of the devices' mean spectra.

    A device that is a linear filter adds a constant to every band of the log-mel energies, so the difference of two
    devices' curves moves a clip from one to the other. Each clip moves with probability `p`, to any of the other
    devices with the same probability.
    """

    p: Annotated[float, Range(0, 1)] = 0.5

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        import torch

        x, devices, curves = batch.x, batch.devices, _curves(batch.store, batch.x.device)
        count = len(curves)
        if count < 2:
            return batch
        step = torch.randint(1, count, (len(x),), generator=rng).to(devices.device)
        moved = (torch.rand(len(x), generator=rng) < self.p).to(x.device)
        gain = curves[(devices + step) % count] - curves[devices]  # (batch, mel)
        return replace(batch, x=x + (gain * moved[:, None])[:, None, :, None])


@lru_cache(maxsize=1)  # the same for every batch, and made of the whole training split
def _curves(store: FeatureStore, device: device) -> Tensor:
    return store.device_curves().to(device)
