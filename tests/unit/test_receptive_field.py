"""Receptive fields: by hand for single layers, by the gradient for whole networks."""

import pytest
import torch
from torch import nn

from asc_core.models.bc_resnet import BCBlock
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.models.receptive_field import receptive_field


@pytest.mark.parametrize(
    ("layers", "expected", "with_pooling"),
    [
        ([nn.Conv2d(1, 1, 5)], (5, 5), (5, 5)),
        ([nn.Conv2d(1, 1, (3, 1))], (3, 1), (3, 1)),
        ([nn.Conv2d(1, 1, (1, 3), dilation=(1, 8))], (1, 17), (1, 17)),
        ([nn.Conv2d(1, 1, 5, stride=(2, 1)), nn.Conv2d(1, 1, 3)], (5 + 2 * 2, 5 + 2), (9, 7)),
        ([nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3)], (3 + 2 * 2,) * 2, (3 + 1 + 2 * 2,) * 2),
        ([nn.AvgPool2d(3, stride=2), nn.Conv2d(1, 1, 3, dilation=2)], (1 + 4 * 2,) * 2, (3 + 4 * 2,) * 2),
        ([nn.Conv2d(1, 1, 1, stride=4), nn.ReLU(), nn.Conv2d(1, 1, 2)], (5, 5), (5, 5)),
    ],
)
def test_layers_by_hand(layers, expected, with_pooling):
    network = nn.Sequential(*layers)
    assert receptive_field(network) == expected
    assert receptive_field(network, pooling_kernels=True) == with_pooling


@pytest.mark.parametrize(
    ("name", "expected", "with_pooling"),
    [
        ("bc_resnet_asc", (109, 109), (115, 115)),
        # Frequency: stem 5; stages 2 * 2 * 2, 2 * 2 + 2 * 4, 2 * 4 + 3 * 2 * 8 and 4 * 2 * 8; head 4 * 8.
        # Time: stem 5; 2 * (2 * 1 + 2 * 2 + 4 * 4 + 4 * 8) for the dilated convolutions; head 4.
        ("bc_resnet", (177, 117), (177, 117)),
        # Stem 5; one kernel at step 2, two at 4, two at 8, one at 8: the pooling kernels add 2 + 4 + 8.
        ("cp_resnet", (73, 73), (87, 87)),
        # Stem 5, pooling to step 4 along time and, after one and two blocks, to 8 and 16 along frequency; two kernels
        # of the first stage, three in the others: 2 * (4 + 2 * 8 + 3 * 16) and 2 * 6 * 4; pooling adds 2 + 4 + 8 and 2.
        ("cp_resnet_small", (141, 53), (155, 55)),
        # Stem 3 + 2 * 2; depthwise: 2 * (2 * 4 + 2 * 8 + 2 * 16) along frequency, 2 * (2 * 4 + 4 * 8) along time.
        ("cp_mobile", (119, 87), (119, 87)),
    ],
)
@pytest.mark.parametrize("norm", ["none", "resnorm"])
def test_networks(name, expected, with_pooling, norm):
    network = build(NetworkConfig(name, norm=norm, width=4), 10)
    assert receptive_field(network) == expected
    assert receptive_field(network, pooling_kernels=True) == with_pooling
    assert network.training


@pytest.mark.parametrize(("rho", "field"), [(3, 55), (4, 71), (5, 87), (6, 103), (7, 135), (8, 167)])
def test_cp_resnet_sees_what_rho_says(rho, field):
    """31 bins up to the second pooling; from there a kernel of 3 adds 16, the third pooling 8, and a kernel then 32."""
    network = build(NetworkConfig("cp_resnet", width=1, norm="none", rho=rho), 2)
    assert receptive_field(network, pooling_kernels=True, bands=64) == (field, field)


@pytest.mark.parametrize("name", ["bc_resnet", "cp_resnet", "cp_resnet_small", "cp_mobile"])
@pytest.mark.parametrize("axis", ["frequency", "time"])
def test_the_gradient_of_one_position_reaches_just_as_far(name, axis):
    """Along frequency BC-ResNet's two-dimensional path alone: the other one averages over all frequencies.

    Weights and input are positive, so that no ReLU cuts a path.
    """
    torch.manual_seed(0)
    network = build(NetworkConfig(name, tau=1, norm="none", width=8), 3).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.1, 1)
    for block in network.modules():
        if isinstance(block, BCBlock) and axis == "frequency":
            nn.init.zeros_(block.f1[3].weight)
    x = torch.rand(16, 1, *((256, 32) if axis == "frequency" else (32, 256)), dtype=torch.float64, requires_grad=True)
    y = network.features(x)
    if name == "bc_resnet":
        y = network.head[0](nn.functional.pad(y, (0, 0, 2, 2)))
    y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
    reached = x.grad.abs().sum(dim=(0, 1, 3 if axis == "frequency" else 2)).nonzero()
    expected = receptive_field(network, pooling_kernels=True)[0 if axis == "frequency" else 1]
    assert reached.max() - reached.min() + 1 == expected
