"""What the challenge counts."""

import pytest
import torch
from torch import nn

from asc_core.compression.expose import expose
from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize
from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT, Limit, limits
from asc_core.compression.size import TensorSize, account, as_json, storage, totals
from asc_core.models.config import NETWORKS, NetworkConfig
from asc_core.models.networks import build


def small() -> nn.Sequential:
    """A convolution of 12 weights, 5 of them zero, and a normalisation."""
    network = nn.Sequential(nn.Conv2d(2, 2, (1, 3), bias=False), nn.BatchNorm2d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1, 0, 2, 0, -1, 3, 0, 0, 4, -4, 1, 0.0]).reshape(2, 2, 1, 3))
        network[1].bias.copy_(torch.tensor([0.0, 0.5]))
    return network


def test_a_small_network_by_hand():
    assert account(small()) == [
        TensorSize("0.weight", 12, 7, 32),
        TensorSize("1.weight", 2, 2, 32),
        TensorSize("1.bias", 2, 1, 32),
    ]
    assert totals(small()) == {"parameters": 16, "nonzero_parameters": 10, "counted_bytes": 40, "weight_bits": 32}


def test_the_same_network_deployed_by_hand():
    network = small()
    quantize(network)
    assert sorted(account(network), key=lambda row: row.name) == [
        TensorSize("0.weight", 12, 7, 8),
        TensorSize("1.scale", 2, 2, 16),
        TensorSize("1.shift", 2, 1, 16),
    ]
    expected = {"parameters": 16, "nonzero_parameters": 10, "counted_bytes": 7 * 1 + 3 * 2, "weight_bits": 8}
    assert totals(network) == expected


def test_a_convolution_without_a_norm_by_hand():
    network = nn.Sequential(nn.Conv2d(2, 3, (1, 2)), nn.ReLU())
    nn.init.constant_(network[0].weight, 0.5)
    nn.init.constant_(network[0].bias, 0.25)
    quantize(network)
    assert account(network) == [
        TensorSize("0.weight", 12, 12, 8),
        TensorSize("0.scale", 1, 1, 16),
        TensorSize("0.bias", 3, 3, 16),
    ]
    assert as_json(account(network))[2] == {
        "name": "0.bias", "parameters": 3, "nonzero": 3, "bits": 16, "counted_bytes": 6,
    }  # fmt: skip


def test_each_year_limits_what_its_rules_say():
    size = {"parameters": 130_000, "nonzero_parameters": 20_000, "counted_bytes": 41_000, "weight_bits": 8}
    size |= {"macs": 9, "macs_torchinfo": 10}
    assert limits(size, "dcase2021") == [Limit("counted_bytes", 41_000, 128_000)]  # 128 KB in the stricter reading
    assert limits(size, "dcase2022") == [
        Limit("parameters", 130_000, 128_000), Limit("weight_bits", 8, 8), Limit("macs", 10, 30_000_000),
    ]  # fmt: skip
    assert limits({**size, "macs": 11}, "dcase2022")[2].value == 11  # the larger, whichever it is
    for year in (2023, 2024, 2025):
        assert limits({**size, "parameter_bytes": 7, "parameter_bytes_torch": 8}, f"dcase{year}") == [
            Limit("parameter_bytes", 8, 128_000),
            Limit("macs", 10, 30_000_000),
        ]


def test_bytes_with_zeros_are_the_same_for_the_organisers_and_for_us():
    network = small()
    assert storage(network) == {"parameter_bytes": 64, "parameter_bytes_torch": 64}
    quantize(network)
    assert not list(network.parameters())  # what a counter of parameters would find of it as it is
    assert storage(network) == {"parameter_bytes": 12 + 2 * 4, "parameter_bytes_torch": 12 + 2 * 4}


def test_weights_in_buffers_are_counted():
    """By us in any case; the organisers' counter finds none of them."""
    network = small()
    network.register_buffer("lookup", torch.zeros(1_000))
    assert storage(network) == {"parameter_bytes": 64 + 4_000, "parameter_bytes_torch": 64}
    assert totals(network)["parameters"] == 1_016


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_is_handed_in_computes_the_same_with_its_weights_as_parameters(name):
    network = build(NetworkConfig(name=name, width=32, strides="baseline", grn=False), 10).eval()
    quantize(network)
    clips = torch.randn(2, 1, 256, 65)
    expected = network(clips)
    expose(network)
    assert torch.equal(network(clips), expected)
    counted = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    assert storage(network) == {"parameter_bytes": counted, "parameter_bytes_torch": counted}
    torch.testing.assert_close(network.float()(clips), expected)  # the organisers' tool counts it as float32


def test_the_whole_network_is_counted_but_the_input_and_the_running_statistics():
    assert totals(build(NetworkConfig(tau=8), 10))["parameters"] == 314_970
    names = {row.name for row in account(build(NetworkConfig(), 10))}
    assert not [name for name in names if name.startswith("input") or "running" in name]


def test_the_published_compression_at_tau_8():
    torch.manual_seed(0)
    network = build(NetworkConfig(tau=8), 10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, 0.5, 1)  # no shift is zero by chance
    prune(network, 0.89)
    quantize(network)
    rows = account(network)
    weights = [row for row in rows if row.bits == 8]
    rest = [row for row in rows if row.bits == 16]
    assert len(weights) + len(rest) == len(rows)
    assert sum(row.parameters for row in weights) == 300_320 and sum(row.nonzero for row in weights) == 33_035
    # Two numbers for each normalised channel, the classifier's bias, and a scale for each of ten that have no norm.
    assert sum(row.parameters for row in rest) == 14_650 + 10
    counted = totals(network)["counted_bytes"]
    assert counted == sum(row.counted_bytes for row in rows) == sum(row.nonzero * row.bits for row in rows) / 8
    assert counted <= 33_035 + 2 * (14_650 + 10) < 62_437 < DECIMAL_LIMIT < LIMIT == 128 * 1024
