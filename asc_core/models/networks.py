"""What all networks have in common, and the one way to make one.

A network is a class that is made as `Class(classes, config)` and has

- `input`, the layer that takes statistics of the training split: `fit(mean, std, frames_per_second)`, as
  `norm.InputNorm` has it;
- `features(x, stages)`, what leaves stage number `stages`: (batch, channel, frequency, time);
- `forward`, from log-mel energies (batch, 1, frequency, time) to logits (batch, class);
- `memory_format`, if it is trained faster with another than `torch.contiguous_format`.

What becomes 8 bit when it ships are the weights of its `nn.Conv2d`; a batch normalisation right behind one in an
`nn.Sequential` is folded into it, and a `cp_mobile.GRN` gets half precision (`asc_core.compression.quantize`). Its
entry in `config.NETWORKS` gives it a name.
"""

from pkgutil import resolve_name

import torch
from torch import Tensor, nn

from asc_core.errors import UserError
from asc_core.models.config import NETWORKS, NetworkConfig


def build(config: NetworkConfig, classes: int) -> nn.Module:
    """A freshly initialised network with so many classes."""
    return resolve_name(NETWORKS[config.name])(classes, config)


def lay_out(network: nn.Module, *, training: bool) -> None:
    """Let the weights of a network lie in memory as its training is fastest, or as everything else expects them."""
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # which torch's types do not know
    for each in network.modules() if training else ():  # those of an ensemble may differ
        if memory_format := getattr(each, "memory_format", None):
            each.to(memory_format=memory_format)  # type: ignore[call-overload]


def check_frames(x: Tensor, least: int) -> None:
    """Refuse clips (batch, 1, frequency, time) of which a network's poolings would leave nothing.

    Raises:
        UserError: there are fewer frames than `least`.
    """
    if x.shape[-1] < least:
        raise UserError(f"clips of {x.shape[-1]} frames, this network needs at least {least}: take longer clips")
