"""The state of a training on disk: what is damaged or another training's is never taken up."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_training import JOB, fresh, same, trained

from asc_core.models import checkpoint
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.training.loop import fit, fit_input
from asc_core.training.saved import Unusable, resume
from asc_core.training.state import State


def interrupted(store, path, job=JOB, network=None):
    """What a training leaves that is interrupted in its third epoch."""

    def interrupt(epoch, metrics):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network or fresh(store), store, job, label="test", saved=path, on_epoch=interrupt)
    return path


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """The bytes of a state after two epochs."""
    return interrupted(store, tmp_path_factory.mktemp("state") / "state.safetensors").read_bytes()


@pytest.fixture(scope="module")
def reference(store):
    return trained(store)


def flipped(content, index):
    return content[:index] + bytes([content[index] ^ 4]) + content[index + 1 :]


def header(content):
    """Where the tensors of a safetensors file begin."""
    return 8 + int.from_bytes(content[:8], "little")


def write_again(path, content, change, **metadata):
    """The file with its tensors changed and its description kept, or changed too."""
    path.write_bytes(content)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        description = {**file.metadata(), **metadata}
    change(tensors)
    save_file(tensors, path, metadata=description)


WEIGHT, MOMENTUM = "network.classifier.weight", "optimizer.0.momentum_buffer"
DAMAGE = {
    "empty": lambda path, content, store: path.write_bytes(b""),
    "text": lambda path, content, store: path.write_bytes(b"half a state"),
    "header alone": lambda path, content, store: path.write_bytes(content[: header(content)]),
    "cut in the header": lambda path, content, store: path.write_bytes(content[: header(content) // 2]),
    "cut at half": lambda path, content, store: path.write_bytes(content[: len(content) // 2]),
    "a byte too short": lambda path, content, store: path.write_bytes(content[:-1]),
    "a byte too long": lambda path, content, store: path.write_bytes(content + b"\0"),
    "bit of a weight": lambda path, content, store: path.write_bytes(flipped(content, len(content) // 2)),
    "last bit": lambda path, content, store: path.write_bytes(flipped(content, len(content) - 1)),
    "zeros at its end": lambda path, content, store: path.write_bytes(content[:-4096] + bytes(4096)),
    "another weight": lambda path, content, store: write_again(path, content, lambda it: it[WEIGHT].neg_()),
    "without a weight": lambda path, content, store: write_again(path, content, lambda it: it.pop(WEIGHT)),
    "without a momentum": lambda path, content, store: write_again(path, content, lambda it: it.pop(MOMENTUM)),
    "half precision": lambda path, content, store: write_again(
        path, content, lambda it: it.update({WEIGHT: it[WEIGHT].half()})
    ),
    "transposed": lambda path, content, store: write_again(
        path, content, lambda it: it.update({WEIGHT: it[WEIGHT].transpose(0, 1).contiguous()})
    ),
    "one tensor more": lambda path, content, store: write_again(
        path, content, lambda it: it.update({"optimizer.9999.momentum_buffer": torch.zeros(1)})
    ),
    "another epoch": lambda path, content, store: write_again(path, content, lambda it: None, epoch="3"),
    "epoch of many digits": lambda path, content, store: write_again(path, content, lambda it: None, epoch="9" * 5000),
    "no checksum": lambda path, content, store: write_again(path, content, lambda it: None, checksum=""),
    "a checkpoint": lambda path, content, store: checkpoint.save(path, fresh(store), NetworkConfig(), store.scenes),
    "another seed": lambda path, content, store: interrupted(store, path, replace(JOB, seed=4)),
    "another network": lambda path, content, store: interrupted(store, path, network=wider(store)),
}


def wider(store):
    network = build(NetworkConfig(tau=2), len(store.scenes))
    fit_input(network, store)
    return network


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_state_is_refused_and_nothing_of_it_is_used(store, whole, tmp_path, damage):
    path = tmp_path / "state.safetensors"
    DAMAGE[damage](path, whole, store)
    network = fresh(store)
    state, before = State.begin(network, store, JOB), copy.deepcopy(network)
    with pytest.raises(Unusable):
        resume(path, state)
    assert same(network, before) and state.epoch == 0 and not state.optimizer.state_dict()["state"]


@pytest.mark.parametrize("damage", ["cut at half", "bit of a weight", "another seed", "another network"])
def test_a_training_with_such_a_state_begins_anew_and_says_so(store, whole, reference, tmp_path, capsys, damage):
    path = tmp_path / "state.safetensors"
    DAMAGE[damage](path, whole, store)
    capsys.readouterr()
    assert same(trained(store, saved=path), reference)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"test: begins anew: cannot continue from {path}, it") and len(others) == 4
    assert not path.exists()


def test_whatever_bytes_change_a_state_is_refused_or_it_is_the_same(store, whole, tmp_path):
    """Runs of bytes at random positions, half of them in the header: overwritten, removed, repeated."""
    path, rng = tmp_path / "state.safetensors", np.random.default_rng(0)
    path.write_bytes(whole)
    network = fresh(store)
    state = State.begin(network, store, JOB)
    resume(path, state)
    expected, refused = copy.deepcopy(network), 0
    for number in range(300):
        start = int(rng.integers(header(whole) if number % 2 else len(whole)))
        count = int(rng.integers(1, 9))
        run = (rng.bytes(count), b"", 2 * whole[start : start + count])[number % 3]
        path.write_bytes(whole[:start] + run + whole[start + count :])
        try:
            resume(path, state)
        except Unusable:
            refused += 1
        assert same(network, expected) and state.epoch == 2
    assert refused > 250
