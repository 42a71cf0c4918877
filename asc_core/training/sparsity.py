"""Weights that are zero and stay so while the others learn."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asc_core.compression.config import PruningConfig
from asc_core.compression.prune import prune


@dataclass(frozen=True)
class Sparsity:
    """Holds weights at zero: those that a training finds there, and those that `pruning` sets to zero on its way."""

    pruning: PruningConfig | None = None

    def apply(self, network: nn.Module, epoch: int) -> "Zeros":
        """Prune `network`, in place, as far as an epoch (counted from 0) asks for; return what it then has to hold."""
        if self.pruning:
            prune(network, self.pruning.at(epoch))  # what is pruned stays so: zeros are the smallest
        return Zeros([(weight, weight != 0) for weight in network.parameters() if weight.dim() > 1])


@dataclass(frozen=True)
class Zeros:
    """Weights, and which entries of each may be other than zero."""

    weights: list[tuple[nn.Parameter, Tensor]]

    @torch.no_grad()
    def hold(self) -> None:
        """Set to zero again what a step has moved."""
        for weight, free in self.weights:
            weight.mul_(free)
