"""The code in docs/extending.md works as it stands there."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from asc_core.models import config
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, fit_input

PAGE = Path(__file__).resolve().parents[2] / "docs/extending.md"


@pytest.fixture
def page(monkeypatch) -> ModuleType:
    """A module with all of the page's code, its network and its normalisation in the tables."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, module.__dict__)
    monkeypatch.setitem(config.NETWORKS, "plain", "page:Plain")
    monkeypatch.setitem(config.NORMS, "half_resnorm", "page:HALF_RESNORM")
    return module


def trained(store, augment: AugmentConfig) -> nn.Module:
    torch.manual_seed(0)
    network = build(NetworkConfig("plain", norm="half_resnorm", width=4), len(store.scenes))
    fit_input(network, store)
    job = Job(Schedule(1, 0.01), TrainingConfig(batch_size=16, precision="float32"), augment, seed=0)
    fit(network, store, job, label="page")
    return network


def test_the_network_the_normalisation_and_the_augmentation_of_the_page_work(page, store):
    @dataclass(frozen=True)
    class Augment(AugmentConfig):
        gain: page.Gain | None = None

    plain, augmented = trained(store, Augment()), trained(store, Augment(gain=page.Gain(decibels=20)))
    assert plain.stage[3].shortcut == 0.5
    assert not torch.equal(plain.classifier.weight, augmented.classifier.weight)
