"""A temperature: logits are divided by it, so that a network is as sure as it is right (arXiv 1706.04599, section 4.2).

It changes no answer, and it is part of the last layer: what runs the network needs not know of it.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from asc_core.compression import activations
from asc_core.compression.config import TEMPERATURES
from asc_core.errors import UserError
from asc_core.models.trace import trace

TOLERANCE = 0.01  # of the largest logit: what rounding to 8 bit once more may change


def fitted(logits: Tensor, labels: Tensor) -> float:
    """The temperature in `TEMPERATURES` with the least mean log loss, to four digits.

    Args:
        logits: (clips, classes) of clips that the network has not learned from.
        labels: (clips,) the right answers.
    """
    from scipy.optimize import minimize_scalar

    logits = logits.double()

    def loss(exponent: float) -> float:
        return nn.functional.cross_entropy(logits / math.exp(exponent), labels).item()

    bounds = (math.log(TEMPERATURES.least), math.log(TEMPERATURES.most))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(f"{math.exp(found.x):.4g}")


@torch.no_grad()
def fold(network: nn.Module, temperature: float, clips: Tensor) -> None:
    """Have a trained network, in place, answer with its logits over `temperature`, before it is quantised.

    The last convolution, or the normalisation behind it, becomes that much smaller.

    Args:
        clips: (clips, 1, mel, frame), by which it is seen that nothing stands between that layer and the logits.

    Raises:
        UserError: something does.
    """
    clips = clips.to(next(network.parameters()).device)
    network.eval()
    wanted = network(clips) / temperature
    if rounded := activations.of(network):
        *_, conv = (each for each, _ in trace(network, clips.shape[1:]) if isinstance(each, nn.Conv2d))
        rounded.divide(activations.place(network, conv, clips), temperature)
    *_, last = (each for each, _ in trace(network, clips.shape[1:]) if isinstance(each, nn.Conv2d | nn.BatchNorm2d))
    for parameter in last.parameters():  # of a convolution in training with 8-bit weights those behind them
        parameter.div_(temperature)
    off = (network(clips) - wanted).abs().max()
    if not off <= TOLERANCE * wanted.abs().max():
        raise UserError("its logits are not what its last convolution puts out; such a network can have no temperature")


def described(temperature: float) -> dict[str, Any]:
    """What the description of a package says of it: of 1, which is none, nothing."""
    return {} if temperature == 1 else {"temperature": temperature}
