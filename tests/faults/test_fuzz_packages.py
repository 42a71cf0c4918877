"""Packages that were made to harm: each is refused in one line, or gives an answer, in little time and memory."""

import copy
import hashlib
import json
import lzma
import random
from pathlib import Path

import fuzzing
import numpy as np
import pytest
import torch
from networks import deployed
from safetensors.numpy import load, save

from asc_core.commands.info import describe
from asc_core.compression import package
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig

NETWORKS = [
    NetworkConfig(),
    NetworkConfig("bc_resnet", norm="global_freqnorm"),
    NetworkConfig("cp_resnet", norm="fixed_pcen", width=4),
    NetworkConfig("cp_mobile", norm="none", width=8),
]
FEATURES = {"config": {"sample_rate": 16_000, "n_mels": 64, "window_ms": 130, "hop_ms": 30}, "seconds": 1.0}
BEGIN = len(package.MAGIC) + package.DIGEST
TYPES = (np.uint8, np.int8, np.float16, np.float32, np.float64, np.int64, np.bool_)


@pytest.fixture
def folder(tmp_path):
    """Packages of the networks, each with its number."""
    for number, config in enumerate(NETWORKS):
        network = deployed(config, 3, torch.randn(4, 1, 64, 64))
        more = {"features": FEATURES, "evaluation": {"accuracy": 50.0, "accuracy_by_device": {"a": 40.0, "b": 60.0}}}
        tuned = copy.deepcopy(network)
        tuned.state_dict()[next(name for name in tuned.state_dict() if name.endswith(".shift"))].fill_(0.5)
        devices = {"a": network, "b": tuned}
        package.write(tmp_path / f"{number}.asc", network, config, ["bus", "park", "tram"], devices=devices, **more)
    return tmp_path


def make_package(rng: random.Random, folder: Path, target: Path) -> Path:
    """A package with a right checksum whose description, or tensors, or bytes beneath it are not what they were."""
    data = (folder / f"{rng.randrange(len(NETWORKS))}.asc").read_bytes()
    content = lzma.decompress(data[BEGIN:])
    length = int.from_bytes(content[:8], "little")
    description = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["asc"])
    parts = load(content)
    what = rng.random()
    if what < 0.5:
        description = fuzzing.hostile(rng, description)
    elif what < 0.7:
        name = rng.choice(list(parts))
        parts = exchanged(rng, parts, name)
    content = save(parts, metadata={"asc": fuzzing.text(description)})
    if what >= 0.9:  # the header of the tensors: their lengths, types and places
        length = int.from_bytes(content[:8], "little")
        header = fuzzing.text(fuzzing.hostile(rng, json.loads(content[8 : 8 + length]))).encode(
            "utf-8", "surrogatepass"
        )
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    elif what >= 0.8:
        content = fuzzing.damaged(rng, content)
    payload = lzma.compress(content, format=lzma.FORMAT_ALONE)
    if 0.7 <= what < 0.8:
        payload = fuzzing.damaged(rng, payload)
    path = target / "made.asc"
    path.write_bytes(package.MAGIC + hashlib.sha256(payload).digest() + payload)
    return path


def exchanged(rng: random.Random, parts: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The tensors with one of another size, type or content, or without it."""
    part = parts[name]
    others = [
        np.zeros(rng.choice([0, 1, part.size + 1, 2 * part.size, 1 << 20]), part.dtype),
        np.zeros_like(part),
        np.full_like(part, np.nan if part.dtype.kind == "f" else 0xFF if part.dtype == np.uint8 else 127),
        part.astype(rng.choice(TYPES)),
        np.frombuffer(rng.randbytes(part.nbytes), part.dtype).reshape(part.shape),
        part.reshape(1, -1),
        None,
    ]
    return {key: value for key, value in {**parts, name: rng.choice(others)}.items() if value is not None}


def use_package(path: Path) -> None:
    """What `asc info` and `asc predict` do with it."""
    describe(path)
    predictor = Predictor(path, Engine.torch, device="b")
    samples = np.random.default_rng(0).normal(0, 0.1, predictor.frontend.config.sample_rate).astype(np.float32)
    try:
        answer = predictor.probabilities(predictor.frontend(samples))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    assert np.isfinite(answer).all()


@pytest.mark.timeout(fuzzing.TIMEOUT)
def test_no_package_does_harm(folder):
    count = 5000 if fuzzing.ALL else 200
    result = fuzzing.fuzz(count, folder, make_package, use_package)
    assert not result.broken, "\n".join(result.broken[:5])
    assert result.memory < 300e6
    assert result.refused > count / 3 and result.used > count / 20
