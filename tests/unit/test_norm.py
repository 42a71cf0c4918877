"""Residual and sub-spectral normalisation against their equations, computed naively."""

import math

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from asc_core.errors import UserError
from asc_core.models.norm import (
    FixedPCEN,
    GlobalFreqNorm,
    InputNorm,
    ResidualNorm,
    SubSpectralNorm,
    placement,
)


@pytest.fixture
def x():
    torch.manual_seed(0)
    return 3 * torch.randn(3, 5, 8, 7) + torch.randn(3, 5, 8, 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", [0.1, 0.0, 1.5])
def test_residual_norm_equals_its_equation(x, shortcut, training):
    eps = 1e-5
    expected = torch.empty_like(x)
    for clip in range(x.shape[0]):
        for frequency in range(x.shape[2]):
            part = x[clip, :, frequency, :].double()  # (channel, time)
            mean, variance = part.mean(), ((part - part.mean()) ** 2).mean()
            expected[clip, :, frequency, :] = shortcut * part + (part - mean) / torch.sqrt(variance + eps)
    layer = ResidualNorm(shortcut, eps).train(training)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_the_published_shortcut_is_the_default(x):
    torch.testing.assert_close(placement("resnorm").after_stage()(x), ResidualNorm(shortcut=0.1)(x))


def test_residual_norm_is_not_instance_norm(x):
    difference = ResidualNorm(shortcut=0)(x) - nn.InstanceNorm2d(5)(x)
    assert difference.abs().mean() > 0.1


def test_residual_norm_has_no_parameters_and_no_state():
    assert not ResidualNorm().state_dict() and not list(ResidualNorm().parameters())


def test_a_constant_added_to_a_frequency_leaves_the_normalised_part(x):
    layer = ResidualNorm()
    colour = torch.linspace(-4, 4, 8).reshape(1, 1, 8, 1)
    torch.testing.assert_close(layer(x + colour), layer(x) + 0.1 * colour.expand(x.shape), atol=1e-4, rtol=1e-4)


def test_clips_do_not_influence_each_other(x):
    torch.testing.assert_close(ResidualNorm()(x)[1:2], ResidualNorm()(x[1:2]))


def test_sub_spectral_norm_is_batch_norm_of_each_sub_band(x):
    groups, channels = 4, 5
    layer = SubSpectralNorm(channels, groups)
    with torch.no_grad():
        layer.norm.weight.uniform_(0.5, 2)
        layer.norm.bias.normal_()
    naive = [nn.BatchNorm2d(channels) for _ in range(groups)]
    for group, norm in enumerate(naive):  # channel c, sub-band g: entry c * groups + g
        norm.weight.data = layer.norm.weight.data[group::groups].clone()
        norm.bias.data = layer.norm.bias.data[group::groups].clone()

    def by_sub_band(x):
        return torch.cat([norm(part) for norm, part in zip(naive, x.chunk(groups, dim=2), strict=True)], dim=2)

    for _ in range(3):
        torch.testing.assert_close(layer(x), by_sub_band(x), atol=1e-5, rtol=1e-5)
        x = 2 * x + 1
    for module in (layer, *naive):
        module.eval()
    torch.testing.assert_close(layer(x), by_sub_band(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frequencies", [1, 6, 9])
def test_a_frequency_axis_that_cannot_be_split_is_an_error(frequencies):
    with pytest.raises(UserError, match=f"{frequencies} frequencies cannot be split into 4 sub-bands.*multiple of 32"):
        SubSpectralNorm(2, 4)(torch.zeros(2, 2, frequencies, 3))


def test_input_norm_takes_one_number_or_one_for_each_band():
    x = torch.randn(2, 1, 4, 3)
    torch.testing.assert_close(InputNorm(2.0, 4.0)(x), (x - 2) / 4)
    mean, std = torch.arange(4.0), torch.arange(1.0, 5.0)
    torch.testing.assert_close(InputNorm(mean, std)(x), (x - mean[None, None, :, None]) / std[None, None, :, None])


# Each norm of the ablation.


@pytest.mark.parametrize("training", [True, False])
def test_freqin_is_residual_norm_without_the_shortcut(x, training):
    mean, variance = x.mean(dim=(1, 3), keepdim=True), x.var(dim=(1, 3), keepdim=True, correction=0)
    for layer in (placement("freqin").at_input(), placement("freqin").after_stage()):
        torch.testing.assert_close(layer.train(training)(x), (x - mean) / torch.sqrt(variance + 1e-5))


@pytest.mark.parametrize("training", [True, False])
def test_global_freqnorm_has_the_mean_and_deviation_of_each_band(training):
    layer = placement("global_freqnorm").input().train(training)
    x = torch.randn(4, 1, 6, 50) * torch.arange(1.0, 7)[:, None] + 3 * torch.arange(6.0)[:, None]
    mean, std = x.mean(dim=(0, 1, 3)), x.std(dim=(0, 1, 3), correction=0)
    layer.fit(mean, std, 33.3)
    y = layer(x)
    torch.testing.assert_close(y, (x - mean[:, None]) / std[:, None])
    torch.testing.assert_close(y.mean(dim=(0, 1, 3)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=(0, 1, 3), correction=0), torch.ones(6), atol=1e-5, rtol=0)
    # Clips keep what their own devices added.
    torch.testing.assert_close(layer(x + 1) - y, (1 / std)[:, None].expand(x.shape), atol=1e-5, rtol=1e-4)


def test_a_band_that_never_changes_gives_finite_features():
    layer = GlobalFreqNorm()
    layer.fit(torch.zeros(4), torch.tensor([1.0, 0.0, 2.0, 1.0]), 33.3)
    assert layer(torch.zeros(1, 1, 4, 3)).isfinite().all()


def test_statistics_of_every_band_are_restored_from_the_state():
    layer, fresh = GlobalFreqNorm(), GlobalFreqNorm()
    layer.fit(torch.arange(4.0), torch.arange(1.0, 5.0), 33.3)
    fresh.load_state_dict(layer.state_dict())
    x = torch.randn(2, 1, 4, 3)
    assert torch.equal(fresh(x), layer(x))
    with pytest.raises(RuntimeError, match="size mismatch"):  # elsewhere there is one number for all bands
        InputNorm().load_state_dict(layer.state_dict())


def test_another_number_of_bands_than_in_training_is_an_error():
    layer = GlobalFreqNorm()
    layer.fit(torch.zeros(8), torch.ones(8), 33.3)
    with pytest.raises(UserError, match="features of 4 bands for a network that was trained on 8"):
        layer(torch.zeros(1, 1, 4, 3))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("sample_rate", "hop_length"), [(16_000, 480), (44_100, 512)])
def test_fixed_pcen_equals_librosa(training, sample_rate, hop_length):
    torch.manual_seed(0)
    layer = FixedPCEN().train(training)
    layer.fit(torch.zeros(6), torch.ones(6), sample_rate / hop_length)
    x = 4 * torch.randn(3, 1, 6, 120) - 6  # from far below to far above what clips have
    x[0, 0, 2, :] = math.log(1e-10)  # digital silence
    y = layer(x)
    assert y.shape == x.shape and y.is_contiguous()
    for clip, result in zip(x, y, strict=True):
        energy = np.exp(clip[0].double().numpy()) * 2**31
        expected = librosa.pcen(energy, sr=sample_rate, hop_length=hop_length)
        np.testing.assert_allclose(result[0].numpy(), expected, rtol=1e-4)


def test_fixed_pcen_equals_its_equation():
    x = torch.tensor([[-3.0, 1.0, 0.5], [2.0, -9.0, 4.0]]).reshape(1, 1, 2, 3)
    b, expected = FixedPCEN.coefficient(100 / 3), torch.empty_like(x)
    for band in range(2):
        m = 1.0
        for t in range(3):
            e = math.exp(x[0, 0, band, t]) * 2**31
            m = (1 - b) * m + b * e
            expected[0, 0, band, t] = (e / (1e-6 + m) ** 0.98 + 2) ** 0.5 - 2**0.5
    torch.testing.assert_close(FixedPCEN()(x), expected, atol=1e-6, rtol=1e-4)


def test_fixed_pcen_keeps_its_precision_under_autocast():
    x = torch.randn(1, 1, 4, 30)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(FixedPCEN()(x), FixedPCEN()(x.clone())) and FixedPCEN()(x).dtype == torch.float32
    assert torch.equal(FixedPCEN()(x.to(torch.bfloat16)), FixedPCEN()(x.to(torch.bfloat16).float()))


def test_pcen_removes_a_gain_that_a_device_adds_to_a_band():
    x = torch.randn(1, 1, 4, 200)
    colour = torch.tensor([-4.0, 0.0, 2.0, 4.0])[:, None]
    late = (FixedPCEN()(x + colour) - FixedPCEN()(x))[..., 150:].abs()  # the start-up of the smoother is over
    assert late.max() < 0.15 * FixedPCEN()(x)[..., 150:].max()


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("none", (InputNorm, nn.Identity, nn.Identity)),
        ("resnorm", (InputNorm, ResidualNorm, ResidualNorm)),
        ("resnorm_input", (InputNorm, ResidualNorm, nn.Identity)),
        ("freqin", (InputNorm, ResidualNorm, ResidualNorm)),
        ("global_freqnorm", (GlobalFreqNorm, nn.Identity, nn.Identity)),
        ("fixed_pcen", (FixedPCEN, nn.Identity, nn.Identity)),
    ],
)
def test_what_a_norm_puts_where(norm, expected):
    layers = placement(norm)
    assert (type(layers.input()), type(layers.at_input()), type(layers.after_stage())) == expected
