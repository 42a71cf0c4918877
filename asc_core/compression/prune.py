"""Magnitude-based unstructured pruning of the convolution weights (arXiv 2206.13909, section 2.4)."""

import torch
from torch import Tensor, nn

from asc_core.errors import UserError


def conv_weights(network: nn.Module) -> list[Tensor]:
    """The weights of every convolution, in the network's order."""
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]


@torch.no_grad()
def prune(network: nn.Module, ratio: float) -> int:
    """Set the `ratio` smallest of all convolution weights, by magnitude over the whole network, to zero, in place.

    Weights of equal magnitude go in a fixed random order, so that no layer loses more than its share of them.

    Returns:
        How many convolution weights are left: n - round(ratio * n), less those that were zero before.

    Raises:
        UserError: `ratio` is not in [0, 1).
    """
    if not 0 <= ratio < 1:
        raise UserError(f"a pruning ratio of {ratio} is not from 0 to below 1")
    weights = conv_weights(network)
    flat = torch.cat([weight.flatten() for weight in weights])
    shuffled = torch.randperm(len(flat), generator=torch.Generator().manual_seed(0)).to(flat.device)
    # A rank, not a threshold: weights of equal magnitude must not change the count.
    ranked = shuffled[flat[shuffled].abs().argsort(stable=True)]
    flat[ranked[: round(ratio * len(flat))]] = 0
    for weight, values in zip(weights, flat.split([weight.numel() for weight in weights]), strict=True):
        weight.copy_(values.reshape(weight.shape))
    return int(flat.count_nonzero())
