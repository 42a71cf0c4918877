"""CP-Mobile: channels, strides, equations, and its response normalisation up to the network that ships."""

import copy

import pytest
import torch
from networks import randomize_norms
from test_networks import small
from torch import nn

from asc_core.compression.quantize import quantize, start_quantized_training
from asc_core.compression.size import account, totals
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.cp_mobile import GRN, CPMobileBlock, multiple_of_8
from asc_core.models.description import network_of
from asc_core.models.macs import macs, macs_torchinfo
from asc_core.models.networks import build

WINNER = NetworkConfig("cp_mobile", norm="none", width=32)
BASELINE = NetworkConfig(
    "cp_mobile", norm="none", width=32, multiplier=1.8, expansion=2.1, strides="baseline", grn=False
)
CP_RESNET = NetworkConfig("cp_resnet", norm="none", width=8)


@pytest.mark.parametrize(("channels", "rounded"), [(1, 8), (12, 16), (19, 24), (57.6, 56), (73.6, 72), (169.28, 168)])
def test_channels_are_multiples_of_8_and_lose_less_than_a_tenth(channels, rounded):
    assert multiple_of_8(channels) == rounded


@pytest.mark.parametrize(
    ("config", "parameters", "by_weights", "by_torchinfo"),
    [(WINNER, 126_952, 31_680_000, 31_684_180), (BASELINE, 61_148, 29_416_448, 29_419_156)],
)
def test_the_published_ones_cost_what_their_authors_code_does(config, parameters, by_weights, by_torchinfo):
    network = build(config, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert macs(network, (1, 256, 65)) == by_weights
    assert macs_torchinfo(network, (1, 256, 65)) == by_torchinfo


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (WINNER, [(32, 64, 17), (32, 32, 9), (72, 16, 9), (168, 16, 9)]),
        (BASELINE, [(32, 64, 17), (32, 64, 9), (56, 32, 9), (104, 32, 9)]),
    ],
)
def test_stages_have_their_widths_and_resolutions(config, shapes):
    network = build(config, 10).eval()
    x = torch.randn(1, 1, 256, 65)
    assert [network.features(x, stages).shape[1:] for stages in range(4)] == shapes


@pytest.mark.parametrize(("bands", "frames"), [(32, 32), (64, 50), (5, 3)])
def test_logits_for_every_clip_and_scene(bands, frames):
    assert small("cp_mobile", classes=7)(torch.randn(2, 1, bands, frames)).shape == (2, 7)


def test_grn_equals_its_equation():
    grn = GRN()
    x = torch.randn(3, 4, 5, 6)
    assert torch.equal(grn(x), x)  # the identity at first
    nn.init.constant_(grn.gamma, 0.7)
    nn.init.constant_(grn.beta, -0.2)
    response = (x**2).sum(dim=(2, 3)).sqrt()
    response /= response.mean(dim=1, keepdim=True)
    torch.testing.assert_close(grn(x), x + 0.7 * x * response[:, :, None, None] - 0.2)
    assert grn(torch.zeros_like(x)).isfinite().all()  # such as a pruned network may have


@pytest.mark.parametrize(("channels_in", "stride"), [(8, (1, 1)), (8, (2, 1)), (8, (1, 2)), (16, (2, 2))])
@pytest.mark.parametrize("grn", [True, False])
def test_a_block_equals_its_equation(channels_in, stride, grn):
    torch.manual_seed(0)
    block = randomize_norms(CPMobileBlock(channels_in, 8, 24, stride, grn=grn)).eval()
    x = torch.randn(4, channels_in, 9, 7)
    expand, first, _, depthwise, second, _, mix, third = block.residual
    expected = third(mix(second(depthwise(first(expand(x)).relu())).relu()))
    if channels_in == 8:
        expected = expected + (x if stride == (1, 1) else nn.AvgPool2d(3, stride, 1)(x))
    torch.testing.assert_close(block(x), block.norm(expected).clamp_min(0))
    assert isinstance(block.norm, GRN) == grn


def test_the_gradient_reaches_every_parameter():
    network = small("cp_mobile").train()
    (network(torch.randn(4, 1, 64, 64)) * torch.randn(4, 3)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_what_ships_has_every_grn_in_half_precision_and_counts_it():
    network = small("cp_mobile")
    start_quantized_training(network)
    shipped = copy.deepcopy(network)
    quantize(shipped)
    rows = {row.name: row for row in account(shipped) if row.name.endswith(("gamma", "beta"))}
    assert len(rows) == 12 and all((row.parameters, row.nonzero, row.bits) == (1, 1, 16) for row in rows.values())
    assert totals(shipped)["weight_bits"] == 8
    assert {tensor.dtype for name, tensor in shipped.state_dict().items() if not name.startswith("input")} == {
        torch.int8,
        torch.float16,
    }


def test_a_grn_that_does_not_fit_half_precision_is_an_error():
    network = small("cp_mobile")
    nn.init.constant_(network.stages[1][0].norm.gamma, 1e6)
    with pytest.raises(UserError, match=r"stages.1.0.norm: .* does not fit half precision"):
        quantize(network)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"multiplier": 0.5}, "multiplier: needs a number from 1 to 4, got 0.5"),
        ({"expansion": 100}, "expansion: needs a number from 1 to 8, got 100"),
        ({"strides": "none"}, "strides: needs one of winner, baseline, got 'none'"),
        ({"grn": 1}, "grn: needs true or false, got 1"),
    ],
)
def test_fields_that_make_no_network_are_errors(fields, told):
    with pytest.raises(UserError, match=told):
        NetworkConfig("cp_mobile", **fields)


def test_a_description_without_the_newer_fields_still_describes_its_network():
    """As files have it that were written before there were others."""
    older = {"name": "cp_resnet", "tau": 1, "norm": "none", "width": 8}
    assert network_of({"network": older, "labels": ["bus", "park"]}) == (CP_RESNET, 2)
    assert CP_RESNET.rho == 5 and CP_RESNET.last_width is None
