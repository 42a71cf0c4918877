"""Training with 8-bit weights, and the network that ships."""

import copy

import pytest
import torch
from networks import randomize_norms
from torch import nn

from asc_core.compression.prune import conv_weights, prune
from asc_core.compression.quantize import Affine, FakeQuantize, QuantConv2d, deploy, quantize, start_quantized_training
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, fit_input
from asc_core.training.sparsity import Sparsity

AUGMENT = AugmentConfig(roll_seconds=0.3, mixup_alpha=0, spec_augment=None)
JOB = Job(Schedule(5, 0.05), TrainingConfig(16, precision="float32"), AUGMENT, seed=0)


@pytest.fixture(scope="module")
def trained(store):
    """A network trained for some epochs, lightly pruned and trained on with 8-bit weights; in evaluation mode."""
    torch.manual_seed(0)
    network = build(NetworkConfig(), len(store.scenes))
    fit_input(network, store)
    fit(network, store, JOB, label="float")
    prune(network, 0.2)
    start_quantized_training(network)
    fit(network, store, Job(**{**vars(JOB), "schedule": Schedule(3, 0.01), "sparsity": Sparsity()}), label="8 bit")
    return network


@pytest.fixture(scope="module")
def shipped(trained):
    network = copy.deepcopy(trained)
    quantize(network)
    return network


def test_fake_quantized_weights_have_255_levels_for_each_output_channel():
    torch.manual_seed(0)
    weight = torch.randn(6, 40, 5, 5) * torch.logspace(-3, 2, 6).reshape(6, 1, 1, 1)
    rounded = FakeQuantize()(weight)
    for channel, result in zip(weight, rounded, strict=True):
        step = channel.abs().max() / 127
        levels = result / step
        assert (levels - levels.round()).abs().max() < 1e-3
        assert 100 < len(levels.round().unique()) <= 255 and levels.abs().max() < 127.001
        assert (result - channel).abs().max() <= step * 0.501


def test_zeros_stay_zero():
    weight = torch.randn(4, 8, 3, 3)
    weight[weight.abs() < 0.5] = 0
    weight[2] = 0
    result = FakeQuantize()(weight)
    assert (result[weight == 0] == 0).all() and result.isfinite().all()


def test_the_gradient_passes_straight_through():
    conv = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    start_quantized_training(conv)
    direction = torch.randn(4, 3, 3, 3)
    (conv[0].weight * direction).sum().backward()
    assert torch.equal(conv[0].parametrizations.weight.original.grad, direction)


def test_every_convolution_computes_with_8_bit_weights_and_keeps_its_own():
    torch.manual_seed(0)
    network = build(NetworkConfig(), 10)
    before = [weight.detach().clone() for weight in conv_weights(network)]
    start_quantized_training(network)
    after = conv_weights(network)
    assert len(after) == len(before) == 33
    for old, new in zip(before, after, strict=True):
        normed = [True, False]  # a scale for each channel where a norm takes it in, one for all weights elsewhere
        assert any(torch.allclose(new, FakeQuantize(per_channel)(old)) for per_channel in normed)
    large = [parameter for parameter in network.parameters() if parameter.dim() == 4]
    assert all(torch.equal(old, kept) for old, kept in zip(before, large, strict=True))


def test_training_with_8_bit_weights_keeps_pruned_weights_zero(trained):
    zeros = sum(int((weight == 0).sum()) for weight in conv_weights(trained))
    assert zeros >= 0.19 * sum(weight.numel() for weight in conv_weights(trained))
    originals = [parameter for parameter in trained.parameters() if parameter.dim() == 4]
    n = sum(weight.numel() for weight in originals)
    assert sum(int((weight == 0).sum()) for weight in originals) == round(0.2 * n)


def test_what_ships_answers_as_the_trained_network(trained, shipped, store):
    rows = store.rows("test")
    expected, result = predict(trained, store, rows), predict(shipped, store, rows)
    assert expected.std() > 0.1
    assert (result - expected).abs().max() < 0.01 * expected.std()
    assert torch.equal(result.argmax(dim=1), expected.argmax(dim=1))


@pytest.mark.parametrize("norm", ["none", "resnorm"])
@pytest.mark.parametrize("fake", [True, False])
def test_every_statistic_and_affine_parameter_is_folded(norm, fake):
    torch.manual_seed(1)
    network = randomize_norms(build(NetworkConfig(tau=2, norm=norm), 10)).eval()
    if fake:
        start_quantized_training(network)
    x = torch.randn(8, 1, 64, 40)
    expected = network(x).detach()
    quantize(network)
    # Without training for it the rounding of the weights shows too.
    tolerance = (0.01 if fake else 0.1) * expected.std()
    assert (network(x) - expected).abs().max() < tolerance


def test_what_ships_is_8_bit_weights_and_half_precision(trained, shipped):
    modules = list(shipped.modules())
    assert not any(isinstance(module, nn.Conv2d | nn.BatchNorm2d) for module in modules)
    packed = [module for module in modules if isinstance(module, QuantConv2d)]
    assert len(packed) == 33 and all(module.weight.dtype == torch.int8 for module in packed)
    weights = conv_weights(trained)
    for module, weight in zip(packed, weights, strict=True):
        assert module.weight.shape == weight.shape and module.weight.abs().amax(dim=(1, 2, 3)).le(127).all()
        assert torch.equal(module.weight == 0, weight == 0)
    affine = [module for module in modules if isinstance(module, Affine)]
    assert all(module.scale.dtype == module.shift.dtype == torch.float16 for module in affine)
    alone = [module for module in packed if module.scale is not None]
    assert len(alone) + len(affine) == len(packed) and all(module.scale.shape == (1,) for module in alone)
    assert not list(shipped.parameters()) and not any(module.training for module in modules)
    rest = {name for name in shipped.state_dict() if not name.endswith((".weight", ".scale", ".shift"))}
    assert rest == {"input.mean", "input.std", "classifier.bias"}


def test_a_deployed_network_with_the_same_state_gives_the_same_logits(shipped, store):
    network = build(NetworkConfig(), len(store.scenes))
    deploy(network)
    network.load_state_dict(shipped.state_dict())
    rows = store.rows("test")
    assert torch.equal(predict(network, store, rows), predict(shipped, store, rows))


def test_one_convolution_by_hand():
    conv = nn.Sequential(nn.Conv2d(1, 2, (1, 2), bias=False), nn.BatchNorm2d(2, eps=0)).eval()
    with torch.no_grad():
        conv[0].weight.copy_(torch.tensor([[127.0, -64.0], [0.5, 0.25]]).reshape(2, 1, 1, 2))
        conv[1].weight.copy_(torch.tensor([3.0, 4.0]))
        conv[1].bias.copy_(torch.tensor([1.0, -1.0]))
        conv[1].running_mean.copy_(torch.tensor([2.0, 0.0]))
        conv[1].running_var.copy_(torch.tensor([9.0, 4.0]))
    quantize(conv)
    assert conv[0].weight.flatten().tolist() == [127, -64, 127, 64]
    # Channel 0: step 1, gain 3 / 3. Channel 1: step 0.5 / 127, gain 4 / 2. One unit of a weight is 1 / 128.
    torch.testing.assert_close(conv[1].scale.float(), torch.tensor([128.0, 128.0 / 127]), rtol=1e-3, atol=0)
    assert conv[1].shift.tolist() == [-1, -1]


def test_a_convolution_without_a_norm_keeps_one_scale_and_its_bias():
    conv = nn.Sequential(nn.Conv2d(1, 2, (1, 2)), nn.ReLU())
    with torch.no_grad():
        conv[0].weight.copy_(torch.tensor([[127.0, -64.0], [2.0, 0.25]]).reshape(2, 1, 1, 2))
        conv[0].bias.copy_(torch.tensor([3.0, -2.0]))
    quantize(conv)
    assert conv[0].weight.flatten().tolist() == [127, -64, 2, 0]
    x = torch.tensor([2.0, 1.0]).reshape(1, 1, 1, 2)
    assert conv(x).flatten().tolist() == [2 * 127 - 64 + 3, 2 * 2 - 2]


def test_a_bias_beyond_half_precision_is_an_error():
    network = build(NetworkConfig(), 10)
    nn.init.constant_(network.classifier.bias, 1e9)
    with pytest.raises(UserError, match=r"^the weights or the bias of a convolution do not fit half"):
        quantize(network)


def test_a_mean_far_above_the_deviation_costs_little():
    """scale * x and shift nearly cancel here: rounded each for itself they would miss by several percent."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(4, 64, 1, bias=False), nn.BatchNorm2d(64)).eval()
    with torch.no_grad():
        layers[0].weight.copy_(FakeQuantize()(layers[0].weight))
        x = torch.randn(400, 4, 1, 8) / 100 + torch.randn(1, 4, 1, 1)
        y = layers[0](x)
        layers[1].running_mean.copy_(y.mean(dim=(0, 2, 3)))
        layers[1].running_var.copy_(y.var(dim=(0, 2, 3)))
        expected = layers(x)
        quantize(layers)
        assert (layers(x) - expected).square().mean().sqrt() < 0.015 * expected.std()


@pytest.mark.parametrize("mean", [0.01, -5.0])
def test_a_channel_that_is_wholly_pruned_keeps_its_constant(mean):
    """Its running mean is that of the network before pruning, as the training after it may be short."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        layers[0].weight[1] = 0
        layers[1].running_mean.fill_(mean)
        layers[1].bias.fill_(0.5)
        x = torch.randn(4, 3, 5, 6)
        expected = layers(x)
        quantize(layers)
        torch.testing.assert_close(layers(x)[:, 1], expected[:, 1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_value_beyond_half_precision_is_an_error(parameter):
    network = build(NetworkConfig(), 10)
    nn.init.constant_(getattr(network.stem[1], parameter), 1e9)
    with pytest.raises(UserError, match=r"^a folded (scale|shift) .* does not fit half precision"):
        quantize(network)
