"""Files as long as they may be, whose answers are the mean over their windows."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 64
Answer = Callable[[Tensor, Tensor], Tensor]


@torch.inference_mode()
def over_windows(answer: Answer, windows: Iterable[tuple[int, np.ndarray]], files: int) -> Tensor:
    """The mean of the logits of each file's windows, as `Predictor` has it: (files, ..., classes) float32 on the CPU.

    Args:
        answer: from windows (batch, 1, mel, frame) float32, and the numbers (batch,) of the files that they are of, to
            logits (batch, ..., classes).
        windows: the number of a file and the features (1, mel, frame) of one of its windows; each file has one.
    """
    coming, counts = iter(windows), torch.zeros(files)
    total: Tensor | None = None
    while some := list(islice(coming, BATCH)):
        numbers = torch.tensor([number for number, _ in some])
        logits = answer(torch.from_numpy(np.stack([window for _, window in some])), numbers).float().cpu()
        total = torch.zeros(files, *logits.shape[1:]) if total is None else total
        total.index_add_(0, numbers, logits)
        counts.index_add_(0, numbers, torch.ones(len(numbers)))
    if total is None:  # of no file
        return counts
    return total / counts.view(-1, *[1] * (total.dim() - 1))


def by_device(network_of: Callable[[str], nn.Module], device_of: Sequence[str]) -> Answer:
    """What answers windows each by the network of a device.

    Args:
        device_of: the device of each file.
    """

    def answer(batch: Tensor, numbers: Tensor) -> Tensor:
        rows: dict[str, list[int]] = {}
        for row, number in enumerate(numbers.tolist()):
            rows.setdefault(device_of[number], []).append(row)
        logits = torch.cat([network_of(device)(batch[own]) for device, own in rows.items()])
        return logits[torch.tensor([row for own in rows.values() for row in own]).argsort()]

    return answer
