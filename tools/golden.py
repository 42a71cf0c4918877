"""`python -m tools.golden`: the golden vectors of docs/package.md, in tests/data/golden.

A small package of an untrained network, a sound, and what becomes of it on the way: its features and the logits. They
are made anew only when the format has a new version: until then every reader, ours among them, has to give these.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import nn

from asc_core.compression import package
from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize
from asc_core.deploy.predictor import Engine, load
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend
from asc_core.files import write_json
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

FOLDER = Path("tests/data/golden")
LABELS = ["bus", "park", "tram"]
NETWORK = NetworkConfig(name="bc_resnet_asc", tau=0.3, norm="resnorm")
FEATURES = FeatureConfig(sample_rate=8_000, n_mels=32, window_ms=60, hop_ms=20, n_fft=512)
SECONDS = 1.0


def sound(rng: np.random.Generator) -> np.ndarray:
    """A rising tone in noise that comes and goes."""
    time = np.arange(round(SECONDS * FEATURES.sample_rate)) / FEATURES.sample_rate
    tone = 0.2 * np.sin(2 * np.pi * (200 * time + rng.uniform(500, 1_500) * time**2))
    return (tone + 0.1 * rng.normal(size=len(time)) * np.sin(2 * np.pi * rng.uniform(1, 4) * time)).astype(np.float32)


@torch.no_grad()
def network(clips: torch.Tensor) -> nn.Module:
    """A network that tells clips (clips, 1, mel, frame) apart, half of its weights pruned."""
    torch.manual_seed(0)
    made: Any = build(NETWORK, len(LABELS))
    made.input.fit(clips.mean(dim=(0, 1, 3)), clips.std(dim=(0, 1, 3)), 1000 / FEATURES.hop_ms)
    prune(made, 0.5)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.momentum = None  # the statistics of all clips
    made.train()(clips)
    made.classifier.weight *= 5
    quantize(made)
    return made


def main() -> None:
    rng = np.random.default_rng(0)
    features = {"config": asdict(FEATURES), "seconds": SECONDS}
    frontend = Frontend({"features": features})
    clips = torch.from_numpy(np.concatenate([frontend(sound(rng)) for _ in range(8)]))
    FOLDER.mkdir(parents=True, exist_ok=True)
    package.write(FOLDER / "model.asc", network(clips), NETWORK, LABELS, features=features)
    soundfile.write(FOLDER / "sound.wav", sound(rng), FEATURES.sample_rate, subtype="PCM_16")
    heard = frontend.read(FOLDER / "sound.wav")
    np.save(FOLDER / "features.npy", heard[0, 0].astype(np.float16))
    logits = load(FOLDER / "model.asc", Engine.torch, 1)[0](heard)[0]
    write_json(FOLDER / "logits.json", dict(zip(LABELS, logits.round(5).tolist(), strict=True)))


if __name__ == "__main__":
    main()
