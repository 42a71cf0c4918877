"""Weights that are zero and stay so while the others learn."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asc_core.compression.config import PruningConfig
from asc_core.compression.prune import prune
from asc_core.training.averages import Averages


@dataclass(frozen=True)
class Sparsity:
    """Holds weights at zero: those that a training finds there, and those that `pruning` sets to zero on its way."""

    pruning: PruningConfig | None = None

    def apply(self, network: nn.Module, averages: Averages | None, epoch: int) -> "Zeros":
        """Prune `network`, in place, as far as an epoch (counted from 0) asks for; return what then has to be held."""
        if self.pruning:
            prune(network, self.pruning.at(epoch))  # what is pruned stays so: zeros are the smallest
        held: list[tuple[Tensor, Tensor]] = []
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                free = weight != 0
                held += [(weight, free), *([(averages.tensors[name], free)] if averages else [])]
        return Zeros(held)


@dataclass(frozen=True)
class Zeros:
    """Weights, and which entries of each may be other than zero."""

    weights: list[tuple[Tensor, Tensor]]

    @torch.no_grad()
    def hold(self) -> None:
        """Set to zero again what a step has moved."""
        for weight, free in self.weights:
            weight.mul_(free)
