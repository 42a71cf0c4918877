"""Networks as training might leave them, without training."""

import torch
from torch import Tensor, nn

from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize
from asc_core.models.bc_resnet import BCResNet
from asc_core.models.config import NetworkConfig
from asc_core.models.cp_mobile import GRN
from asc_core.models.networks import build
from asc_core.training.precise_bn import measure_statistics


def randomize_norms(network: nn.Module) -> nn.Module:
    """Statistics and affine parameters that are none of them neutral, in place."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
        elif isinstance(module, GRN):
            nn.init.uniform_(module.gamma, 0.3, 0.8)
            nn.init.uniform_(module.beta, 0.05, 0.2)
    return network


@torch.no_grad()
def deployed(config: NetworkConfig, classes: int, clips: Tensor) -> nn.Module:
    """A network as the stage quantize leaves it, that tells clips (clips, 1, mel, frame) apart without training."""
    torch.manual_seed(0)
    network = build(config, classes)
    bands = clips.transpose(0, 2).flatten(1)
    network.input.fit(bands.mean(dim=1), bands.std(dim=1), frames_per_second=100 / 3)
    prune(network, 0.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.momentum = None  # the statistics of all batches
        elif isinstance(module, GRN):
            nn.init.uniform_(module.gamma, 0.3, 0.8)
            nn.init.uniform_(module.beta, 0.05, 0.2)
    network.train()(clips)
    logits = network.eval()(clips)
    last = network.classifier if isinstance(network.classifier, nn.Conv2d) else network.classifier[-1]
    spread = logits.std(dim=0).mean()
    last.weight /= spread
    last.bias.copy_((last.bias - logits.mean(dim=0)) / spread)
    quantize(network)
    return network


def trained(config: NetworkConfig, clips: Tensor, targets: Tensor, steps: int) -> nn.Module:
    """A network as the stage quantize leaves it, after so many steps on clips (clips, 1, mel, frame)."""
    torch.manual_seed(0)
    network = build(config, int(targets.max()) + 1)
    bands = clips.transpose(0, 2).flatten(1)
    network.input.fit(bands.mean(dim=1), bands.std(dim=1), frames_per_second=100 / 3)
    optimizer = torch.optim.AdamW(network.train().parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(clips), targets).backward()
        optimizer.step()
    measure_statistics(network, [clips])
    with torch.no_grad():
        quantize(network)
    return network


def saved_by_the_mean(network: nn.Module, clips: Tensor) -> int:
    """The products of a classifier without bounds, which a LiteRT file has of the mean alone and not at every place."""
    if isinstance(network, BCResNet):
        return 0  # has it of the mean itself
    classifier = network.classifier[0] if isinstance(network.classifier, nn.Sequential) else network.classifier
    places = network.features(clips[:1]).shape[2:].numel()
    return (places - 1) * classifier.weight.numel()
