"""The networks. `build` is the only door."""

from collections.abc import Callable

from torch import nn

from asc_core.config import NetworkConfig
from asc_core.errors import UserError
from asc_core.models.bc_resnet import BCResNetASC

NETWORKS: dict[str, Callable[..., nn.Module]] = {"bc_resnet_asc": BCResNetASC}


def build(network: NetworkConfig, classes: int) -> nn.Module:
    """A freshly initialised network: (batch, 1, frequency, time) log-mel energies to (batch, classes) logits.

    Raises:
        UserError: the configuration names a network or a normalisation that does not exist.
    """
    if network.name not in NETWORKS:
        raise UserError(f"network.name: unknown name {network.name!r}, known are {', '.join(NETWORKS)}")
    return NETWORKS[network.name](classes=classes, tau=network.tau, norm=network.norm)
