"""What a training minimises: cross-entropy, and with a teacher the distance from its answers as well."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.training.config import DistillationConfig


@dataclass(frozen=True)
class Teacher:
    """A trained network to learn from, and how."""

    network: nn.Module
    config: DistillationConfig


def objective(logits: Tensor, targets: Tensor, x: Tensor, teacher: Teacher | None) -> Tensor:
    """Cross-entropy with the targets and, with a teacher, the divergence from its softened answer to the same input.

    (1 - w) * CE(targets, student) + w * T^2 * KL(teacher / T || student / T), arXiv 1503.02531, section 2.

    Args:
        logits: (batch, classes) of the network in training.
        targets: (batch, classes) probabilities.
        x: (batch, 1, mel, frame), what the teacher hears.
    """
    loss = functional.cross_entropy(logits, targets)
    if teacher is None:
        return loss
    t, w = teacher.config.temperature, teacher.config.weight
    with torch.no_grad():
        answer = functional.log_softmax(teacher.network(x).float() / t, dim=1)
    student = functional.log_softmax(logits / t, dim=1)
    return (1 - w) * loss + w * t**2 * functional.kl_div(student, answer, reduction="batchmean", log_target=True)
