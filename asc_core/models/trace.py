"""Which modules a network calls, in order, and the shapes that they return."""

from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def trace(network: nn.Module, input_shape: tuple[int, ...]) -> list[tuple[nn.Module, torch.Size]]:
    """Every call of a module for one clip of zeros, in the order in which they return, with the shape of the output.

    Args:
        input_shape: (1, frequency, time) of the clip.
    """
    calls: list[tuple[nn.Module, torch.Size]] = []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        calls.append((module, output.shape))

    hooks = [module.register_forward_hook(record) for module in network.modules()]
    training = network.training
    device = next((tensor.device for tensor in network.state_dict().values()), None)
    try:
        network.eval()(torch.zeros(1, *input_shape, device=device))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return calls
