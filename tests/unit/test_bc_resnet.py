"""BC-ResNet-ASC: published sizes, the block's equation, and what reaches what."""

import pytest
import torch
from networks import randomize_norms
from torch import nn

from asc_core.errors import UserError
from asc_core.models.bc_resnet import BCBlock
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("norm", ["none", "resnorm"])
@pytest.mark.parametrize(("tau", "expected"), [(1, 8_055), (8, 314_970)])
def test_parameter_counts_are_the_published_ones(tau, norm, expected):
    assert parameters(build(NetworkConfig(tau=tau, norm=norm), 10)) == expected


def test_convolution_weights_at_tau_8():
    network = build(NetworkConfig(tau=8), 10)
    assert sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d)) == 300_320


@pytest.mark.parametrize(("bands", "frames"), [(32, 8), (32, 33), (64, 20), (256, 334)])
def test_logits_for_every_clip_and_scene(bands, frames):
    network = build(NetworkConfig(), 7).eval()
    assert network(torch.randn(2, 1, bands, frames)).shape == (2, 7)


@pytest.mark.parametrize(
    ("stages", "shape"), [(1, (20, 128, 40)), (2, (30, 64, 20)), (3, (40, 32, 10)), (4, (50, 32, 10))]
)
def test_stages_have_the_widths_and_resolutions_of_the_table(stages, shape):
    network = build(NetworkConfig(tau=2), 10).eval()
    assert network.features(torch.randn(1, 1, 256, 80), stages).shape == (1, *shape)


def test_logits_are_the_average_of_the_classifier_over_frequency_and_time():
    torch.manual_seed(0)
    network = randomize_norms(build(NetworkConfig(), 4)).eval()
    x = torch.randn(3, 1, 64, 40)
    features = network.features(x)
    expected = torch.einsum("bcft,nc->bnft", features, network.classifier.weight[:, :, 0, 0]).mean(dim=(2, 3))
    torch.testing.assert_close(network(x), expected + network.classifier.bias, atol=1e-4, rtol=1e-4)


def test_the_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = randomize_norms(build(NetworkConfig(), 10))
    (network(torch.randn(4, 1, 64, 40)) * torch.randn(4, 10)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("channels_in", [6, 4])
def test_a_block_equals_its_equation(channels_in):
    torch.manual_seed(0)
    block = randomize_norms(BCBlock(channels_in, 6)).eval()
    x = torch.randn(2, channels_in, 8, 5)
    both = block.f2(x)
    time = block.f1(
        torch.stack([both[:, :, f] for f in range(8)]).mean(dim=0).unsqueeze(2)
    )  # (batch, channel, 1, time)
    for frequency in range(8):
        y = both[:, :, frequency] + time[:, :, 0]
        if channels_in == 6:
            y = y + x[:, :, frequency]
        torch.testing.assert_close(block(x)[:, :, frequency], y.clamp_min(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", ["f1", "f2"])
def test_the_parts_of_a_block_mix_what_they_should(part):
    """f2 mixes neighbouring frequencies of one channel and frame; f1 mixes channels and neighbouring frames."""
    torch.manual_seed(0)
    block = randomize_norms(BCBlock(4, 4)).eval()
    x = torch.randn(1, 4, 8 if part == "f2" else 1, 9, requires_grad=True)
    y = getattr(block, part)(x)
    y[0, 1, y.shape[2] // 2, 4].backward()
    touched = {tuple(index.tolist()) for index in x.grad[0].nonzero()}
    if part == "f2":
        assert touched == {(1, frequency, 4) for frequency in (3, 4, 5)}
    else:
        assert touched == {(channel, 0, frame) for channel in range(4) for frame in (3, 4, 5)}


def test_only_the_first_block_of_a_stage_has_no_identity():
    network = build(NetworkConfig(), 10).eval()
    for stage in network.stages:
        blocks = [block for block in stage if isinstance(block, BCBlock)]
        for number, block in enumerate(blocks):
            # With both parts silenced only the identity is left.
            nn.init.zeros_(block.f2[-1].norm.weight)
            nn.init.zeros_(next(m for m in reversed(block.f1) if isinstance(m, nn.Conv2d)).weight)
            x = torch.randn(2, next(iter(block.f2)).in_channels, 8, 5)
            assert torch.equal(block(x), x.relu() if number else torch.zeros(2, block.f2[-2].out_channels, 8, 5))
    assert [len([b for b in stage if isinstance(b, BCBlock)]) for stage in network.stages] == [2, 2, 2, 3]


@pytest.mark.parametrize("axis", ["frequency", "time"])
def test_the_receptive_field_is_109_and_the_pooling_kernels(axis):
    """The stem sees 5 bins; a block adds 2 steps, of 2 bins in stage 1, 4 in stage 2, 8 in stages 3 and 4:
    5 + 2 * 4 + 2 * 8 + 5 * 16 = 109. The two pooling kernels add a step of 2 and one of 4 bins: 115.

    Along frequency this holds for the two-dimensional path alone: the other one averages over all frequencies.
    """
    torch.manual_seed(0)
    network = randomize_norms(build(NetworkConfig(norm="none"), 10)).eval()
    if axis == "frequency":
        for stage in network.stages:
            for block in stage[:-1]:
                nn.init.zeros_(next(m for m in reversed(block.f1) if isinstance(m, nn.Conv2d)).weight)
    size = (256, 32) if axis == "frequency" else (32, 256)
    x = torch.randn(32, 1, *size, requires_grad=True)
    y = network.classifier(network.features(x))  # (clip, class, frequency / 8, time / 8)
    y[:, :, y.shape[2] // 2, y.shape[3] // 2].square().sum().backward()
    reached = x.grad.abs().sum(dim=(0, 1, 3 if axis == "frequency" else 2)).nonzero()
    assert reached.max() - reached.min() + 1 == 109 + 2 + 4


def test_the_normalisation_stands_at_the_input_and_behind_every_stage():
    """ResNorm leaves a deviation of 1 + 0.1 s over channels and time, and a tenth of the mean."""
    torch.manual_seed(0)
    network = randomize_norms(build(NetworkConfig(norm="resnorm"), 10)).eval()
    x = 5 * torch.randn(2, 1, 64, 40) + 3
    for stages in range(1, 5):
        deviation = network.features(x, stages).transpose(1, 2).flatten(2).std(dim=2, correction=0)
        assert (deviation > 1).all() and (deviation < 1.5).all(), stages
    stem_input = []
    network.stem.register_forward_pre_hook(lambda module, inputs: stem_input.append(inputs[0]))
    network(x)
    torch.testing.assert_close(stem_input[0].mean(dim=(1, 3)), 0.1 * x.mean(dim=(1, 3)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        (
            {"name": "resnet"},
            "name: needs one of bc_resnet_asc, bc_resnet, cp_resnet, cp_resnet_small, .*, got 'resnet'",
        ),
        ({"norm": "batch"}, "norm: needs one of none, resnorm, .*, got 'batch'"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(unknown, told):
    with pytest.raises(UserError, match=told):
        NetworkConfig(**unknown)


@pytest.mark.parametrize("tau", [0, -1, 0.01, float("inf"), float("nan")])
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_an_impossible_width_is_an_error(tau):
    with pytest.raises(UserError, match="tau"):
        build(NetworkConfig(tau=tau), 10)
