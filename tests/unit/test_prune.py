"""Magnitude-based pruning."""

import copy

import pytest
import torch
from torch import nn

from asc_core.compression.prune import conv_weights, prune
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build


def network(tau=1):
    torch.manual_seed(0)
    return build(NetworkConfig(tau=tau), 10)


def flat(network):
    return torch.cat([weight.detach().flatten() for weight in conv_weights(network)])


def test_the_published_count_at_tau_8():
    pruned = network(tau=8)
    assert prune(pruned, 0.89) == 33_035
    assert flat(pruned).count_nonzero() == 33_035 and len(flat(pruned)) == 300_320


@pytest.mark.parametrize("ratio", [0, 0.001, 0.5, 0.77, 0.9999])
def test_the_count_is_exact_over_the_whole_network(ratio):
    pruned = network()
    n = len(flat(pruned))
    left = n - round(ratio * n)
    assert prune(pruned, ratio) == left == flat(pruned).count_nonzero()


def test_the_largest_weights_are_kept_as_they_are():
    pruned = network()
    before = flat(pruned)
    prune(pruned, 0.7)
    after = flat(pruned)
    kept = after != 0
    assert torch.equal(after[kept], before[kept])
    assert before[kept].abs().min() >= before[~kept].abs().max()


def test_the_ranking_is_over_the_network_not_within_a_layer():
    convs = nn.Sequential(nn.Conv2d(1, 10, 1, bias=False), nn.Conv2d(10, 1, 1, bias=False))
    nn.init.constant_(convs[0].weight, 0.1)
    nn.init.constant_(convs[1].weight, -0.2)
    assert prune(convs, 0.5) == 10
    assert not convs[0].weight.any() and convs[1].weight.all()


def test_weights_of_equal_magnitude_do_not_change_the_count():
    pruned = network()
    for weight in conv_weights(pruned):
        nn.init.constant_(weight, 0.5)
        weight.data[::2] *= -1
    n = len(flat(pruned))
    assert prune(pruned, 0.25) == n - round(0.25 * n) == flat(pruned).count_nonzero()


def test_weights_of_equal_magnitude_go_from_every_layer_alike():
    """Small layers and large ones, and the channels of a layer: none is emptied because it stands first."""
    pruned = network(tau=4)
    for weight in conv_weights(pruned):
        nn.init.constant_(weight, 0.5)
    first = copy.deepcopy(pruned)
    prune(pruned, 0.5)
    for weight in conv_weights(pruned):
        kept, n = int(weight.count_nonzero()), weight.numel()
        assert abs(kept - n / 2) <= 4 * (n / 4) ** 0.5, weight.shape  # four deviations of a fair draw
    prune(first, 0.5)
    assert torch.equal(flat(first), flat(pruned))


def test_ties_are_broken_among_themselves_alone():
    pruned = network()
    for weight in conv_weights(pruned):
        weight.data.copy_((100 * weight.data).round() / 100)  # many are equal, and many zero
    before = flat(pruned).abs()
    for ratio in (0.2, 0.6, 0.9):
        prune(pruned, ratio)
        kept = flat(pruned) != 0
        assert before[kept].min() >= before[~kept].max() and kept.sum() <= len(kept) - round(ratio * len(kept))


def test_weights_that_were_zero_are_among_the_pruned():
    pruned = network()
    first = conv_weights(pruned)[0]
    nn.init.zeros_(first)
    n = len(flat(pruned))
    assert prune(pruned, first.numel() / n) == n - first.numel()


def test_only_convolution_weights_are_touched():
    pruned = network()
    nn.init.constant_(pruned.classifier.bias, 1e-9)
    convolutions = {f"{name}.weight" for name, module in pruned.named_modules() if isinstance(module, nn.Conv2d)}
    before = {name: tensor.clone() for name, tensor in pruned.state_dict().items()}
    prune(pruned, 0.8)
    changed = {name for name, tensor in pruned.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and changed <= convolutions and "classifier.weight" in changed


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan")])
def test_an_impossible_ratio_is_an_error_and_prunes_nothing(ratio):
    pruned = network()
    with pytest.raises(UserError, match="a pruning ratio of"):
        prune(pruned, ratio)
    assert torch.equal(flat(pruned), flat(network()))
