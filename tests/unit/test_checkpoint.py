"""Checkpoints: what was saved comes back, and whatever is no network is refused by the name of its file."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from asc_core.errors import UserError
from asc_core.models import checkpoint
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

CONFIG, LABELS = NetworkConfig(), ["bus", "park", "tram"]
DESCRIPTION = {"network": {"name": "bc_resnet_asc", "tau": 1, "norm": "resnorm", "width": 64}, "labels": LABELS}


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "net.safetensors", build(CONFIG, 3), CONFIG, LABELS)
    return tmp_path / "net.safetensors"


def rewrite(path, description=DESCRIPTION, **changes):
    """The checkpoint with another description, and with tensors exchanged; None takes one away."""
    state = {name: tensor for name, tensor in {**load_file(path), **changes}.items() if tensor is not None}
    save_file(state, path, metadata={"asc": json.dumps(description)})


def test_a_checkpoint_comes_back_as_it_was(path):
    before = load_file(path)
    rewrite(path)
    network, description = checkpoint.load(path)
    assert description == DESCRIPTION and not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.full((10, 25, 1, 1), torch.nan), "classifier.weight holds a value that is not finite"),
        (torch.full((10, 25, 1, 1), torch.inf), "classifier.weight holds a value that is not finite"),
        (torch.zeros(3, 25, 1), "size mismatch for classifier.weight"),
        (torch.zeros(3, 25, 1, 1).double(), "classifier.weight is of type torch.float64, not torch.float32"),
        (None, "classifier.weight is missing"),
    ],
)
def test_a_tensor_that_is_not_the_networks_is_named(path, tensor, told):
    rewrite(path, **{"classifier.weight": tensor[:3] if tensor is not None else None})
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: not a usable checkpoint (") and told in str(caught.value)


def test_a_tensor_too_many_is_named(path):
    rewrite(path, extra=torch.zeros(2))
    with pytest.raises(UserError, match=f"{path}: .*extra is no tensor of the network"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "description",
    [
        [],
        1,
        {"labels": LABELS},
        {**DESCRIPTION, "labels": []},
        {**DESCRIPTION, "labels": ["a", "b", "b"]},
        {**DESCRIPTION, "network": []},
        {**DESCRIPTION, "network": {"tau": 1000}},
        {**DESCRIPTION, "network": {"tau": float("nan")}},
        {**DESCRIPTION, "network": {"name": ["bc_resnet"]}},
        {**DESCRIPTION, "network": {"name": "cp_resnet", "width": 10**9}},
    ],
)
def test_a_false_description_is_refused_before_a_network_is_built(path, description, monkeypatch):
    monkeypatch.setattr(checkpoint, "build", None)
    rewrite(path, description)
    with pytest.raises(UserError, match=f"{path}: not a usable checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b"abc", (1 << 40).to_bytes(8, "little") + b"{}", bytes(100)])
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path}: not a usable checkpoint"):
        checkpoint.load(path)


def test_a_missing_file_is_named_and_no_stage_is(tmp_path):
    with pytest.raises(UserError) as caught:
        checkpoint.load(tmp_path / "none.safetensors")
    assert str(caught.value) == f"{tmp_path}/none.safetensors: No such file or directory"
