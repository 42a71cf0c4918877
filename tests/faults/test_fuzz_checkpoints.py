"""Checkpoints that were made to harm: each is refused in one line, or loaded, in little time and memory."""

import json
import random
from pathlib import Path

import fuzzing
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from asc_core.models import checkpoint
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

NETWORKS = [
    NetworkConfig(),
    NetworkConfig("bc_resnet", norm="global_freqnorm"),
    NetworkConfig("cp_resnet", norm="fixed_pcen", width=4),
    NetworkConfig("cp_mobile", norm="none", width=8),
]
TYPES = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of the networks, each with its number."""
    for number, config in enumerate(NETWORKS):
        network = build(config, 3)
        network.input.fit(torch.zeros(64), torch.ones(64), 100 / 3)
        checkpoint.save(tmp_path / f"{number}.safetensors", network, config, ["bus", "park", "tram"], features={})
    return tmp_path


def make_checkpoint(rng: random.Random, folder: Path, target: Path) -> Path:
    """A checkpoint whose description, tensors, header or bytes are not what they were."""
    original = folder / f"{rng.randrange(len(NETWORKS))}.safetensors"
    with safe_open(original, framework="pt") as file:
        description = json.loads(file.metadata()["asc"])
    data = original.read_bytes()
    state, what = load(data), rng.random()
    if what < 0.4:
        data = save(state, metadata={"asc": fuzzing.text(fuzzing.hostile(rng, description))})
    elif what < 0.7:
        data = save(exchanged(rng, state, rng.choice(list(state))), metadata={"asc": json.dumps(description)})
    elif what < 0.9:
        length = int.from_bytes(data[:8], "little")
        header = fuzzing.text(fuzzing.hostile(rng, json.loads(data[8 : 8 + length]))).encode()
        stated = len(header) if rng.random() < 0.9 else rng.choice([0, 1 << 24, 1 << 62, 2**64 - 1])
        data = stated.to_bytes(8, "little") + header + data[8 + length :]
    else:
        data = fuzzing.damaged(rng, data)
    path = target / "made.safetensors"
    path.write_bytes(data)
    return path


def exchanged(rng: random.Random, state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors with one of another size, type or content, or without it, or with one more."""
    tensor = state[name]
    others = [
        torch.zeros(rng.choice([0, 1, tensor.numel() + 1, 1 << 20]), dtype=tensor.dtype),
        tensor[None],
        tensor.to(rng.choice(TYPES)),
        torch.full_like(tensor.float(), rng.choice([torch.nan, torch.inf])),
        None,
    ]
    changed = {**state, name: rng.choice(others), **({"more": torch.zeros(3)} if rng.random() < 0.1 else {})}
    return {key: value.contiguous() for key, value in changed.items() if value is not None}


def use_checkpoint(path: Path) -> None:
    network, _ = checkpoint.load(path)
    assert network(torch.zeros(1, 1, 64, 64)).isfinite().all()


@pytest.mark.timeout(fuzzing.TIMEOUT)
def test_no_checkpoint_does_harm(folder):
    count = 1000 if fuzzing.ALL else 100
    result = fuzzing.fuzz(count, folder, make_checkpoint, use_checkpoint)
    assert not result.broken, "\n".join(result.broken[:5])
    assert result.memory < 300e6
    assert result.refused > count / 3 and result.used > count / 20
