"""States of trainings that were made to harm: each is refused in one line, or taken up, in little time and memory."""

import random
import shutil
from pathlib import Path

import fuzzing
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save
from test_fuzz_checkpoints import exchanged

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.training import loop, saved
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.state import State

JOB = Job(
    Schedule(4, 0.001, optimizer="adamw"),
    TrainingConfig(batch_size=16, precision="float32", ema=0.9),
    AugmentConfig(),
    seed=0,
)


def begun(folder: Path) -> State:
    """A training before its first epoch."""
    store = FeatureStore(folder / "features")
    torch.manual_seed(0)
    network = build(NetworkConfig(tau=0.4), len(store.scenes))
    loop.fit_input(network, store)
    return State.begin(network, store, JOB)


@pytest.fixture
def folder(store, tmp_path):
    """The state of a training after an epoch, and the features that it is of."""
    shutil.copytree(store.folder, tmp_path / "features")
    state = begun(tmp_path)
    loop.train_epoch(state)
    saved.save(tmp_path / "whole.safetensors", state)
    return tmp_path


def make_state(rng: random.Random, folder: Path, target: Path) -> Path:
    """A state whose metadata, tensors or bytes are not what they were, half of them with a checksum that fits."""
    original = folder / "whole.safetensors"
    data, what = original.read_bytes(), rng.random()
    with safe_open(original, framework="pt") as file:
        metadata = file.metadata()
    tensors = load(data)
    if what < 0.7:
        if what < 0.4:
            tensors = exchanged(rng, tensors, rng.choice(list(tensors)))
        else:
            forged = fuzzing.hostile(rng, metadata)
            forged = forged if isinstance(forged, dict) else {"epoch": forged}
            metadata = {key: value if isinstance(value, str) else str(value) for key, value in forged.items()}
            metadata = {key: value.encode(errors="replace").decode() for key, value in metadata.items()}
        if rng.random() < 0.5 and all(tensor.dtype != torch.bfloat16 for tensor in tensors.values()):
            metadata["checksum"] = saved.checksum(tensors, metadata.get("epoch", ""), metadata.get("job", ""))
        data = save(tensors, metadata=metadata)
    elif what < 0.95:
        data = fuzzing.damaged(rng, data)
    path = target / "made.safetensors"
    path.write_bytes(data)
    return path


def use_state(path: Path) -> None:
    state = begun(path.parents[1])
    try:
        saved.resume(path, state)
    except saved.Unusable as reason:
        raise UserError(f"{path}: {reason}") from None
    assert 0 <= state.epoch <= 4
    assert all(tensor.isfinite().all() for tensor in state.network.state_dict().values())


@pytest.mark.timeout(fuzzing.TIMEOUT)
def test_no_state_does_harm(folder):
    count = 1000 if fuzzing.ALL else 100
    result = fuzzing.fuzz(count, folder, make_state, use_state)
    assert not result.broken, "\n".join(result.broken[:5])
    assert result.memory < 300e6
    assert result.refused > count / 3 and result.used > count / 40
