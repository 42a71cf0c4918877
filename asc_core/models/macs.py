"""Multiply-accumulate operations of a network: what one decision costs, by our count and by the challenge's."""

from torch import Tensor, nn

from asc_core.models.trace import trace


def costs(network: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, int]:
    """Both counts for one clip: `macs` and `macs_torchinfo`."""
    return {"macs": macs(network, input_shape), "macs_torchinfo": macs_torchinfo(network, input_shape)}


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


def macs_torchinfo(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """The number that the organisers of the challenge count from 2022 on: `total_mult_adds` of torchinfo 1.8.

    Every weight and bias counts once, those of a convolution once for each position of its output: biases and
    normalisations are in it, and a linear layer is as in `macs` for one clip. Of an 8-bit network the scales and shifts
    are the weights and biases of the normalisations that they were made from, so it has as many as before.

    Args:
        input_shape: (1, frequency, time) of the clip.
    """
    total = 0
    for module, shape in trace(network, input_shape):
        names = ("weight", "bias") if hasattr(module, "weight") else ("scale", "shift")
        tensors = [tensor for name in names if isinstance(tensor := getattr(module, name, None), Tensor)]
        entries = sum(tensor.numel() for tensor in tensors)
        convolution = any(tensor.dim() == 4 for tensor in tensors)
        total += entries * (shape[2:].numel() if convolution else 1)
    return total
