"""Batch statistics measured after the training."""

from dataclasses import replace

import pytest
import torch
from test_training import JOB, trained
from torch import nn

from asc_core.training.batches import batches
from asc_core.training.precise_bn import measure_statistics


def test_the_statistics_are_the_plain_mean_over_the_batches():
    network = nn.Sequential(nn.Dropout2d(0.9), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, momentum=0.3))
    weights = [parameter.clone() for parameter in network.parameters()]
    given = [torch.randn(8, 3, 4, 5) * 3 + 2 for _ in range(5)]
    network.train()
    measure_statistics(network, given)
    first, last = network[1], network[3]
    torch.testing.assert_close(first.running_mean, torch.stack([x.mean((0, 2, 3)) for x in given]).mean(0))
    torch.testing.assert_close(first.running_var, torch.stack([x.var((0, 2, 3)) for x in given]).mean(0))
    assert not any(module.training for module in network.modules())
    assert (first.momentum, last.momentum) == (0.1, 0.3)
    assert all(torch.equal(old, new) for old, new in zip(weights, network.parameters(), strict=True))


def test_a_training_with_it_differs_in_the_statistics_alone_and_they_are_those_of_plain_clips(store):
    job = replace(JOB, training=replace(JOB.training, precise_bn=True))
    usual, precise = trained(store), trained(store, job)
    old, new = usual.state_dict(), precise.state_dict()
    differing = {name.split(".")[-1] for name in old if not torch.equal(old[name], new[name])}
    assert {"running_mean", "running_var"} <= differing <= {"running_mean", "running_var", "num_batches_tracked"}

    norm = next(module for module in precise.modules() if isinstance(module, nn.BatchNorm2d))
    seen = []
    handle = norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].mean((0, 2, 3))))
    with torch.no_grad():
        for batch in batches(store, store.rows("train"), 48, torch.Generator(), torch.device("cpu")):
            precise(batch.x)
    handle.remove()
    assert torch.stack(seen).mean(0) == pytest.approx(norm.running_mean, abs=1e-4)
