"""Temperatures: found from answers, and folded into whatever is the last layer of a network."""

import math

import pytest
import torch
from networks import randomize_norms
from torch import nn

from asc_core.compression import temperature
from asc_core.compression.config import TEMPERATURES
from asc_core.compression.quantize import quantize, start_quantized_training
from asc_core.errors import UserError
from asc_core.models.config import NETWORKS, NetworkConfig
from asc_core.models.networks import build


@pytest.mark.parametrize("wanted", [0.3, 1.0, 2.5])
def test_the_temperature_is_the_one_at_which_confidence_is_the_share_of_right_answers(wanted):
    logits = torch.tensor([wanted * math.log(3), 0]).repeat(4, 1)  # sure by three to one, and right three times of four
    assert temperature.fitted(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("label", "bound"), [(0, TEMPERATURES.least), (1, TEMPERATURES.most)])
def test_what_is_always_right_or_always_wrong_ends_at_a_bound(label, bound):
    logits = torch.tensor([[0.5, 0.0]])
    assert temperature.fitted(logits, torch.tensor([label])) == pytest.approx(bound, rel=1e-3)


@pytest.fixture(scope="module")
def clips():
    return torch.randn(6, 1, 64, 40, generator=torch.Generator().manual_seed(0)) - 5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("by", [0.4, 3.0])
def test_a_folded_network_answers_with_its_logits_over_the_temperature(name, by, clips):
    logits, quantised = [], []
    for divided_by in (None, by):
        torch.manual_seed(0)
        network = randomize_norms(build(NetworkConfig(name=name, tau=0.5, width=8), 4)).eval()
        start_quantized_training(network)
        if divided_by:
            temperature.fold(network, divided_by, clips)
        with torch.no_grad():
            logits.append(network(clips))
            quantize(network)
            quantised.append(network(clips))
    torch.testing.assert_close(logits[1], logits[0] / by, rtol=1e-3, atol=1e-3 * logits[0].abs().max().item() / by)
    close = 3e-3 * quantised[0].abs().max().item() / by
    torch.testing.assert_close(quantised[1], quantised[0] / by, rtol=0, atol=close)
    first, second = quantised[1].topk(2).values.T
    sure = first - second > 2 * close
    assert sure.any() and torch.equal(quantised[0].argmax(dim=1)[sure], quantised[1].argmax(dim=1)[sure])


class Squashed(nn.Module):
    """A network whose logits are not what its last convolution puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(1, 3, 1)

    def forward(self, x):
        return self.classifier(x).mean(dim=(2, 3)).tanh()


def test_a_network_whose_last_layer_is_no_such_is_refused(clips):
    with pytest.raises(UserError, match="can have no temperature"):
        temperature.fold(Squashed(), 2.0, clips)
