"""CP-ResNet: kernels by rho, resolutions, and the block's equation."""

import pytest
import torch
from test_networks import small
from torch import nn

from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.cp_resnet import BasicBlock
from asc_core.models.macs import macs_torchinfo
from asc_core.models.networks import build


def kernels(network: nn.Module) -> list[int]:
    blocks = [module for module in network.modules() if isinstance(module, BasicBlock)]
    return [layer.kernel_size[0] for block in blocks for layer in block.residual if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("rho", [0, 1, 5, 22])
def test_rho_counts_the_convolutions_with_a_kernel_of_3(rho):
    network = build(NetworkConfig("cp_resnet", width=1, norm="none", rho=rho), 2)
    assert kernels(network) == [3, 1] + [3] * rho + [1] * (22 - rho)
    small_one = build(NetworkConfig("cp_resnet_small", width=2, norm="none", rho=rho), 2)
    assert kernels(small_one) == [3, 1] + [3] * min(rho, 6) + [1] * max(0, 6 - rho)


@pytest.mark.parametrize(("stages", "shape"), [(1, (8, 15, 20)), (2, (16, 15, 20)), (3, (32, 15, 20))])
def test_stages_have_their_widths_and_resolutions(stages, shape):
    network = small("cp_resnet")
    assert network.features(torch.randn(1, 1, 256, 334), stages).shape == (1, *shape)


@pytest.mark.parametrize(("stages", "shape"), [(1, (32, 15, 16)), (2, (64, 15, 16)), (3, (92, 15, 16))])
def test_the_small_one_keeps_more_of_the_time_and_has_its_last_width(stages, shape):
    network = build(NetworkConfig("cp_resnet_small", width=32, last_width=92, norm="none"), 10)
    assert network.features(torch.randn(1, 1, 256, 65), stages).shape == (1, *shape)


def test_the_small_one_costs_what_its_authors_code_does():
    network = build(NetworkConfig("cp_resnet_small", width=32, last_width=92, norm="none"), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == 127_684
    assert macs_torchinfo(network, (1, 256, 65)) == 45_981_308


@pytest.mark.parametrize(("bands", "frames"), [(32, 32), (64, 50)])
def test_logits_for_every_clip_and_scene(bands, frames):
    assert small("cp_resnet", classes=7)(torch.randn(2, 1, bands, frames)).shape == (2, 7)


@pytest.mark.parametrize("channels_in", [6, 4])
def test_a_block_equals_its_equation(channels_in):
    torch.manual_seed(0)
    block = BasicBlock(channels_in, 6, (3, 1))
    x = torch.randn(4, channels_in, 5, 7)
    first, first_norm, _, second, second_norm = block.residual
    expected = second_norm(second(first_norm(first(x)).relu()))
    expected = expected + (x if channels_in == 6 else block.shortcut[1](block.shortcut[0](x)))
    torch.testing.assert_close(block(x), expected.clamp_min(0))


def test_the_gradient_reaches_every_parameter():
    network = small("cp_resnet").train()
    (network(torch.randn(4, 1, 64, 64)) * torch.randn(4, 3)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_classifier_is_averaged_over_frequency_and_time():
    network = small("cp_resnet")
    x = torch.randn(2, 1, 64, 64)
    conv, norm = network.classifier
    expected = norm(torch.einsum("bcft,nc->bnft", network.features(x), conv.weight[:, :, 0, 0])).mean(dim=(2, 3))
    torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)


def test_the_width_is_configured():
    widths = [build(NetworkConfig("cp_resnet", width=width), 2).classifier[0].in_channels for width in (4, 16)]
    assert widths == [16, 64]
    assert build(NetworkConfig("cp_resnet", width=4, last_width=7), 2).classifier[0].in_channels == 7


def test_a_width_that_cannot_be_grouped_is_an_error():
    NetworkConfig("cp_resnet", width=3)
    with pytest.raises(UserError, match=r"^width: needs an even number for cp_resnet_small, got 3"):
        NetworkConfig("cp_resnet_small", width=3)
