"""What all networks have in common: sizes, shapes, restoring, and folding into 8 bit."""

import copy
from dataclasses import asdict, replace

import pytest
import torch
from networks import randomize_norms
from test_quantize import JOB
from torch import Tensor, nn

from asc_core.commands import networks
from asc_core.compression import package
from asc_core.compression.quantize import QuantConv2d, deploy, quantize, start_quantized_training
from asc_core.errors import UserError
from asc_core.models import checkpoint, config
from asc_core.models.config import NETWORKS, NORMS, NetworkConfig
from asc_core.models.networks import build
from asc_core.models.norm import InputNorm, Placement, placement
from asc_core.training.config import Schedule
from asc_core.training.loop import fit, fit_input

SMALL = {
    "bc_resnet_asc": {"tau": 1},
    "bc_resnet": {"tau": 1},
    "cp_resnet": {"width": 8},
    "cp_resnet_small": {"width": 8, "last_width": 20},
    "cp_mobile": {"width": 16},
}


def small(name: str, norm: str = "none", classes: int = 3) -> nn.Module:
    """A narrow network in evaluation mode; statistics and affine parameters as training might leave them."""
    torch.manual_seed(0)
    return randomize_norms(build(NetworkConfig(name, norm=norm, **SMALL[name]), classes)).eval()


@pytest.mark.parametrize(
    ("system", "parameters"),
    [
        ("BC-ResNet-ASC-1", 8_055),
        ("BC-ResNet-ASC-8", 314_970),
        ("BC-ResNet-8", 317_610),
        ("CP-ResNet", 896_980),
        ("CP-ResNet 128k", 127_684),
        ("CP-Mobile 127k", 126_952),
        ("CP-Mobile 61k", 61_148),
        ("CP-Mobile 6k", 6_086),
    ],
)
def test_the_published_systems_have_their_published_sizes(system, parameters):
    network = build(networks.SYSTEMS[system], 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_table_has_a_line_for_every_system(monkeypatch):
    monkeypatch.setattr(networks, "SYSTEMS", {"BC-ResNet-ASC-1": networks.SYSTEMS["BC-ResNet-ASC-1"]})
    assert " ".join(networks.table().splitlines()[1].split()) == "BC-ResNet-ASC-1 8,055 109 x 109 115 x 115 19.6"


def test_a_width_that_gives_no_channels_is_an_error():
    with pytest.raises(UserError, match=r"^width: needs a whole number from 1 to 256, got 0"):
        NetworkConfig("cp_resnet", width=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_works_with_every_norm(store, name, norm):
    network = small(name, norm, classes=5)
    fit_input(network, store)
    x = store.batch(store.rows("test")[:3]).float()
    expected = network(x)
    assert expected.shape == (3, 5) and expected.isfinite().all() and expected.std(dim=0).min() > 0
    torch.testing.assert_close(network(x[1:2]), expected[1:2], atol=1e-4, rtol=1e-4)  # clips on their own


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_and_packages_restore_every_network(store, tmp_path, name, norm):
    config = NetworkConfig(name, norm=norm, **SMALL[name])
    network = small(name, norm)
    fit_input(network, store)
    x = store.batch(store.rows("test")[:3]).float()
    checkpoint.save(tmp_path / "network.safetensors", network, config, store.scenes)
    restored, _ = checkpoint.load(tmp_path / "network.safetensors")
    assert torch.equal(restored(x), network(x))
    quantize(network)
    package.write(tmp_path / "network.asc", network, config, store.scenes)
    assert torch.equal(package.read(tmp_path / "network.asc")[0](x), network(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_ships_computes_what_was_trained(name):
    """Every statistic and affine parameter is folded, so only the rounding to half precision is left."""
    network = small(name)
    start_quantized_training(network)
    shipped = copy.deepcopy(network)
    quantize(shipped)
    x = torch.randn(8, 1, 64, 64)
    expected = network(x)
    assert (shipped(x) - expected).abs().max() < 0.02 * expected.std()
    assert not any(isinstance(module, nn.Conv2d | nn.BatchNorm2d) for module in shipped.modules())
    packed = [module for module in shipped.modules() if isinstance(module, QuantConv2d)]
    assert len(packed) == sum(isinstance(module, nn.Conv2d) for module in network.modules())
    rebuilt = build(NetworkConfig(name, norm="none", **SMALL[name]), 3)
    deploy(rebuilt)
    rebuilt.load_state_dict(shipped.state_dict())
    assert torch.equal(rebuilt(x), shipped(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_normalisation_stands_at_the_input_and_behind_every_stage(name):
    """FreqIN leaves mean 0 and deviation 1 of every frequency."""
    network = small(name, "freqin")
    inputs = []
    network.stem.register_forward_pre_hook(lambda module, values: inputs.append(values[0]))
    parts = [network.features(5 * torch.randn(2, 1, 64, 64) + 3, stages + 1) for stages in range(len(network.stages))]
    for y in (*parts, inputs[0]):
        by_frequency = y.transpose(1, 2).flatten(2)  # (batch, frequency, channel * time)
        torch.testing.assert_close(by_frequency.mean(dim=2), torch.zeros(by_frequency.shape[:2]), atol=1e-4, rtol=0)
        assert (by_frequency.std(dim=2, correction=0) - 1).abs().max() < 0.01
    for norm, layers in (("none", 0), ("resnorm_input", 1), ("resnorm", 1 + len(network.stages))):
        modules = [type(module).__name__ for module in small(name, norm).modules()]
        assert modules.count("ResidualNorm") == layers


class Loudness(nn.Module):
    """A new normalisation: each clip less its mean."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=(1, 2, 3), keepdim=True)


LOUDNESS = Placement(InputNorm, Loudness, nn.Identity)


class Tiny(nn.Module):
    """A new network."""

    def __init__(self, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        norms = placement(config.norm)
        self.input, self.input_norm = norms.input(), norms.at_input()
        self.stages = nn.ModuleList([
            nn.Sequential(nn.Conv2d(1, config.width, 3, bias=False), nn.BatchNorm2d(config.width), norms.after_stage())
        ])  # fmt: skip
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def features(self, x: Tensor, stages: int = 1) -> Tensor:
        x = self.input_norm(self.input(x))
        return self.stages[0](x) if stages else x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).relu()).mean(dim=(2, 3))


def test_a_new_network_and_a_new_normalisation_need_an_entry_each(store, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"name: needs one of .*, got 'tiny'"):
        NetworkConfig("tiny")
    monkeypatch.setitem(config.NETWORKS, "tiny", f"{__name__}:Tiny")
    monkeypatch.setitem(config.NORMS, "loudness", f"{__name__}:LOUDNESS")
    description = NetworkConfig("tiny", norm="loudness", width=6)
    network = build(description, len(store.scenes))
    assert isinstance(network.input_norm, Loudness)
    fit_input(network, store)
    before = network.classifier.weight.clone()
    fit(network, store, replace(JOB, schedule=Schedule(2, 0.05)), label="tiny")
    assert not torch.equal(network.classifier.weight, before)
    checkpoint.save(tmp_path / "tiny.safetensors", network, description, store.scenes)
    restored, told = checkpoint.load(tmp_path / "tiny.safetensors")
    x = store.batch(store.rows("test")).float()
    assert torch.equal(restored(x), network(x)) and told["network"] == asdict(description)
    quantize(network)
    package.write(tmp_path / "tiny.asc", network, description, store.scenes)
    assert torch.equal(package.read(tmp_path / "tiny.asc")[0](x), network(x))


@pytest.mark.parametrize(("name", "least"), [("bc_resnet_asc", 7), ("cp_resnet", 17), ("cp_resnet_small", 5)])
def test_clips_of_which_the_poolings_would_leave_nothing_are_refused(name, least):
    network = small(name)
    assert network(torch.zeros(1, 1, 64, least)).shape == (1, 3)
    with pytest.raises(UserError, match=f"clips of {least - 1} frames, this network needs at least {least}"):
        network(torch.zeros(1, 1, 64, least - 1))
