"""Multiply-accumulate operations of a network: what one decision costs."""

from torch import Tensor, nn

from asc_core.models.trace import trace


def macs(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one clip.

    Each output value costs as many as its filter has weights, zeros and padding included; biases, normalisations,
    activations and poolings are not counted. An 8-bit network has as many as the one that it was made from.

    Args:
        input_shape: (1, frequency, time) of the clip.
    """
    total = 0
    for module, shape in trace(network, input_shape):
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1:  # (out, in), or (out, in / groups, height, width)
            total += shape.numel() * weight[0].numel()
    return total
