"""Multiply-accumulates: by hand for single layers and for a whole block."""

import pytest
import torch
from torch import nn

from asc_core.compression.quantize import quantize, start_quantized_training
from asc_core.models.bc_resnet import BCBlock
from asc_core.models.config import NetworkConfig
from asc_core.models.macs import costs, macs, macs_torchinfo
from asc_core.models.networks import build


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(3, 4, 1)], 4 * 10 * 12 * 3),
        ([nn.Conv2d(3, 4, (3, 5))], 4 * 8 * 8 * 3 * 15),
        ([nn.Conv2d(3, 4, 5, stride=2, padding=2)], 4 * 5 * 6 * 3 * 25),
        ([nn.Conv2d(3, 6, 3, padding=1, groups=3)], 6 * 10 * 12 * 9),
        ([nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)], 0),
        ([nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(240, 7)], 2 * 120 * 3 + 240 * 7),
    ],
)
def test_layers_by_hand(layers, expected):
    assert macs(nn.Sequential(*layers), (3, 10, 12)) == expected


def test_a_block_by_hand():
    """6 channels, 8 frequencies, 5 frames; f1 works on the mean over frequency."""
    mixing, f2, f1 = 6 * 8 * 5 * 4, 6 * 8 * 5 * 3, 6 * 5 * 3 + 6 * 5 * 6
    assert macs(BCBlock(4, 6), (4, 8, 5)) == mixing + f2 + f1


def test_a_layer_that_is_used_twice_counts_twice():
    conv = nn.Conv2d(1, 1, 1)
    assert macs(nn.Sequential(conv, conv), (1, 4, 5)) == 40


@pytest.mark.parametrize("name", ["bc_resnet_asc", "bc_resnet", "cp_resnet", "cp_resnet_small", "cp_mobile"])
def test_training_in_8_bit_and_shipping_do_not_change_the_count(name):
    network = build(NetworkConfig(name, width=4), 10)
    before = costs(network, (1, 64, 40))
    assert 0 < before["macs"] < before["macs_torchinfo"] and network.training
    start_quantized_training(network)
    assert costs(network, (1, 64, 40)) == before
    quantize(network)
    assert costs(network, (1, 64, 40)) == before


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(3, 4, 1)], 120 * 16),
        ([nn.Conv2d(3, 4, 5, stride=2, padding=2, bias=False)], 30 * 300),
        ([nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)], 6),
        ([nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(240, 7)], 120 * 6 + 240 * 7 + 7),
    ],
)
def test_layers_as_the_organisers_count_them(layers, expected):
    assert macs_torchinfo(nn.Sequential(*layers), (3, 10, 12)) == expected


def test_counting_leaves_the_network_as_it_was():
    network = build(NetworkConfig(), 10)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    macs(network, (1, 64, 40))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
