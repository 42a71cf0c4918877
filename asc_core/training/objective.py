"""What a training minimises: cross-entropy, and with a teacher the distance from its answers as well."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.features.store import FeatureStore
from asc_core.models.inference import predict
from asc_core.training.config import DistillationConfig


@dataclass(frozen=True)
class Teacher:
    """A trained network to learn from, and how."""

    network: nn.Module
    config: DistillationConfig

    def offline(self, store: FeatureStore, rows: np.ndarray) -> Tensor:
        """Its softened answers to rows of a store as they are: (clips, classes) probabilities in the order of the
        store, zeros for all other clips."""
        answers = torch.zeros(len(store.clips), len(store.scenes))
        answers[rows] = (predict(self.network, store, rows) / self.config.temperature).softmax(dim=1)
        return answers


def objective(
    logits: Tensor, targets: Tensor, x: Tensor, teacher: Teacher | None, answers: Tensor | None = None
) -> Tensor:
    """Cross-entropy with the targets and, with a teacher, the divergence from its softened answer to the same input.

    (1 - w) * CE(targets, student) + w * T^2 * KL(teacher / T || student / T), arXiv 1503.02531, section 2.

    Args:
        logits: (batch, classes) of the network in training.
        targets: (batch, classes) probabilities.
        x: (batch, 1, mel, frame), what the teacher hears.
        answers: (batch, classes), its softened answers where it has heard the clips before.
    """
    loss = functional.cross_entropy(logits, targets)
    if teacher is None:
        return loss
    t, w = teacher.config.temperature, teacher.config.weight
    with torch.no_grad():
        if answers is None:
            answer = functional.log_softmax(teacher.network(x).float() / t, dim=1)
        else:
            answer = answers.clamp_min(torch.finfo(answers.dtype).tiny).log()
    student = functional.log_softmax(logits / t, dim=1)
    return (1 - w) * loss + w * t**2 * functional.kl_div(student, answer, reduction="batchmean", log_target=True)
