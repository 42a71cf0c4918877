"""Averages of a network's weights over the steps of its training, which serve better than those of the last step."""

import torch
from torch import Tensor, nn


class Averages:
    """Exponential moving averages of all that a network holds (arXiv 1703.01780, section 2).

    After step n the averages keep min(decay, (1 + n) / (10 + n)) of what they were, so that those of the first steps
    are soon forgotten. Running statistics of batch normalisations are averaged like the weights, which is near enough
    on the way; whoever ends with the averages measures them anew, as the statistics of averaged weights are no average
    of statistics (arXiv 1803.05407, section 3.2).

    Attributes:
        tensors: the averages, by the names of the network's state.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.own = network.state_dict()  # the network's tensors themselves
        self.tensors: dict[str, Tensor] = {name: tensor.clone() for name, tensor in self.own.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in what the network is after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.tensors.items():
            if average.is_floating_point():
                average.lerp_(self.own[name], 1 - decay)
            else:
                average.copy_(self.own[name])  # how many batches there were

    @torch.no_grad()
    def exchange(self) -> None:
        """Give the network the averages and keep what it had; once more gives that back."""
        for name, average in self.tensors.items():
            was = self.own[name].clone()
            self.own[name].copy_(average)
            average.copy_(was)
