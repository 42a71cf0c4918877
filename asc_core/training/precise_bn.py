"""Statistics of batch normalisation measured once a network is trained ("precise BN", arXiv 2105.07576, section 3)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def measure_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of each batch normalisation by their mean over batches (n, 1, mel, frame).

    Those that training leaves follow its last batches, of weights that were still moving and of clips that were mixed
    and rolled; what the network will meet are plain clips. Nothing else of it changes; it ends in evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()  # dropout would shift the variances
    for norm in norms:
        norm.train()
    for number, x in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / number  # which makes a running mean a plain one
        network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
