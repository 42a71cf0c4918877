"""Training clips in batches, read ahead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from asc_core.features.store import FeatureStore


@dataclass(frozen=True)
class Batch:
    """Clips on their way to the network.

    Attributes:
        x: (batch, 1, mel, frame) log-mel energies in float32.
        targets: (batch, classes) probabilities.
        devices: (batch,) the device that recorded each clip, as `store.device_indices`.
        store: where the clips are from.
        answers: (batch, classes) probabilities, what an offline teacher answers to each clip.
    """

    x: Tensor
    targets: Tensor
    devices: Tensor
    store: FeatureStore
    answers: Tensor | None = None

    @property
    def frames_per_second(self) -> float:
        return 1000 / self.store.config.hop_ms


def batches(
    store: FeatureStore,
    rows: np.ndarray,
    batch_size: int,
    rng: Generator,
    device: torch.device,
    answers: Tensor | None = None,
) -> Iterator[Batch]:
    """One epoch of shuffled batches, on `device`.

    The next batch is read while the present one is used. A last batch that is not full is left out, as its statistics
    would be noisier than the others' (unless it is the only one).

    Args:
        answers: (clips, classes) of an offline teacher, a row a clip of the store.
    """
    order = rows[torch.randperm(len(rows), generator=rng).numpy()]
    full = len(order) // batch_size * batch_size or len(order)
    parts = [order[at : at + batch_size] for at in range(0, full, batch_size)]
    pinned = device.type == "cuda"

    def read(part: np.ndarray) -> list[Tensor]:
        tensors = [store.batch(part), store.labels[part], store.device_indices[part]]
        return [tensor.pin_memory() for tensor in tensors] if pinned else tensors

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, parts[0])
        for number in range(len(parts)):
            x, labels, devices = (tensor.to(device, non_blocking=True) for tensor in coming.result())
            if number + 1 < len(parts):
                coming = reader.submit(read, parts[number + 1])
            targets = functional.one_hot(labels, len(store.scenes)).float()
            taught = None if answers is None else answers[parts[number]].to(device)
            yield Batch(x.float(), targets, devices, store, taught)
