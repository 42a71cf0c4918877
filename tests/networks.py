"""Networks as training might leave them, without training."""

from torch import nn


def randomize_norms(network: nn.Module) -> nn.Module:
    """Statistics and affine parameters that are none of them neutral, in place."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network
