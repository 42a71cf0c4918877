"""Files as long as they may be, whose answers are the mean over their windows."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from torch import Tensor

BATCH = 64


@torch.inference_mode()
def over_windows(
    answer: Callable[[Tensor, Tensor], Tensor], windows: Iterable[tuple[int, np.ndarray]], files: int
) -> Tensor:
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
    assert total is not None and counts.all()
    return total / counts.view(-1, *[1] * (total.dim() - 1))
