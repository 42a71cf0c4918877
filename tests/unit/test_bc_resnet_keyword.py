"""BC-ResNet, the network made for keywords: its resolutions, dilations and head."""

import pytest
import torch
from test_networks import small

from asc_core.models.bc_resnet import BCBlock
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build


@pytest.mark.parametrize(
    ("stages", "shape"), [(1, (16, 128, 40)), (2, (24, 64, 40)), (3, (32, 32, 40)), (4, (40, 32, 40))]
)
def test_stages_halve_frequency_and_keep_time(stages, shape):
    network = build(NetworkConfig("bc_resnet", tau=2), 10).eval()
    assert network.features(torch.randn(1, 1, 256, 40), stages).shape == (1, *shape)
    assert [len([b for b in stage if isinstance(b, BCBlock)]) for stage in network.stages] == [2, 2, 4, 4]


@pytest.mark.parametrize("bands", [32, 64, 96, 256])
def test_any_multiple_of_32_bands_and_any_length(bands):
    network = small("bc_resnet", classes=7)
    for frames in (1, 8, 33):
        assert network(torch.randn(2, 1, bands, frames)).shape == (2, 7)


@pytest.mark.parametrize(("dilation", "reached"), [(1, {9, 10, 11}), (4, {6, 10, 14}), (8, {2, 10, 18})])
def test_temporal_convolutions_are_dilated(dilation, reached):
    torch.manual_seed(0)
    block = BCBlock(4, 4, dilation=dilation).eval()
    x = torch.randn(1, 4, 1, 21, requires_grad=True)
    block.f1(x)[0, :, 0, 10].sum().backward()
    assert set(x.grad[0, :, 0].abs().sum(dim=0).nonzero().flatten().tolist()) == reached


def test_the_stride_takes_every_other_frequency():
    torch.manual_seed(0)
    block, plain = BCBlock(3, 4, stride=2).eval(), BCBlock(3, 4).eval()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 3, 16, 5)
    # Before the norm: its sub-bands are halves of what the plain block has.
    torch.testing.assert_close(block.f2[:-1](x), plain.f2[:-1](x)[:, :, ::2])


def test_the_head_pads_only_what_its_kernel_lacks():
    """At 32 bands stage 4 leaves 4 frequencies; one row of zeros, below, makes the five that the kernel needs."""
    network = small("bc_resnet")
    sizes = []
    network.head.register_forward_pre_hook(lambda module, values: sizes.append(values[0]))
    for bands in (256, 64, 32):
        network(torch.randn(1, 1, bands, 8))
    assert [x.shape[2] for x in sizes] == [32, 8, 5] and not sizes[2][:, :, 4].any() and sizes[2][:, :, :4].any()


def test_logits_equal_the_head_computed_by_hand():
    network = small("bc_resnet")
    x = torch.randn(2, 1, 64, 9)
    features = network.features(x)  # (batch, 20, 8, 9)
    depthwise, pointwise, norm, _ = network.head
    windows = torch.nn.functional.pad(features, (2, 2)).unfold(2, 5, 1).unfold(3, 5, 1)  # (batch, 20, 4, 9, 5, 5)
    y = torch.einsum("bcftij,cij->bcft", windows, depthwise.weight[:, 0])
    y = torch.einsum("bcft,dc->bdft", y, pointwise.weight[:, :, 0, 0])
    y = norm(y).relu().mean(dim=(2, 3))
    expected = y @ network.classifier.weight[:, :, 0, 0].T + network.classifier.bias
    torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)


def test_the_gradient_reaches_every_parameter():
    network = small("bc_resnet").train()
    (network(torch.randn(4, 1, 64, 20)) * torch.randn(4, 3)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
