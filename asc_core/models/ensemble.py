"""Several networks that answer as one."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from asc_core.models import checkpoint


class Ensemble(nn.Module):
    """Networks that hear the same clip; the mean of their logits, (batch, classes) in float32, is the answer."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(x).float() for network in self.networks]).mean(dim=0)


def together(networks: Sequence[nn.Module]) -> nn.Module:
    """The networks as one; a single one is that itself."""
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def load(paths: Sequence[Path]) -> nn.Module:
    """The networks of checkpoints as one, in evaluation mode.

    Raises:
        UserError: one of them is missing, or no checkpoint.
    """
    return together([checkpoint.load(path)[0] for path in paths]).eval()
