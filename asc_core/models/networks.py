"""The networks. `build` is the only door."""

from collections.abc import Callable

from torch import nn

from asc_core.errors import UserError
from asc_core.models.bc_resnet import BCResNet, BCResNetASC
from asc_core.models.config import NetworkConfig
from asc_core.models.cp_resnet import CPResNet

NETWORKS: dict[str, Callable[[int, NetworkConfig], nn.Module]] = {
    "bc_resnet_asc": lambda classes, config: BCResNetASC(classes, config.tau, config.norm),
    "bc_resnet": lambda classes, config: BCResNet(classes, config.tau, config.norm),
    "cp_resnet": lambda classes, config: CPResNet(classes, config.width, config.norm),
}


def build(network: NetworkConfig, classes: int) -> nn.Module:
    """A freshly initialised network: (batch, 1, frequency, time) log-mel energies to (batch, classes) logits.

    Every network has `input`, the layer that `training.fit_input` sets, and `features(x, stages)`, what leaves a stage.

    Raises:
        UserError: the configuration names a network or a normalisation that does not exist.
    """
    if network.name not in NETWORKS:
        raise UserError(f"network.name: unknown name {network.name!r}, known are {', '.join(NETWORKS)}")
    return NETWORKS[network.name](classes, network)
