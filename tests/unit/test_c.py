"""What is exported as C: the same features, and the same scene, from a program that knows neither Python nor us."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from networks import deployed

from asc_core.commands.export import export
from asc_core.compression import package
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.errors import UserError
from asc_core.features.audio import read_blocks
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend
from asc_core.models.config import NetworkConfig

pytest.importorskip("ai_edge_litert", reason="C is made of the LiteRT graph, which is in the extra edge")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here (cc)")

LABELS = ["bus", "park", 'a "quoted" ö']
NETWORK = NetworkConfig(name="cp_mobile", width=8, norm="resnorm")  # of all kernels but the matrix product and maximum
FRONT_ENDS = [
    FeatureConfig(n_mels=64),  # 2080 samples, with a factor of 13
    FeatureConfig(sample_rate=22_050, n_mels=32, window_ms=25, hop_ms=10),  # 551 samples, an odd number
    FeatureConfig(sample_rate=8_000, n_mels=32, window_ms=16, hop_ms=20),  # a hop longer than the window
    FeatureConfig(n_mels=32, window_ms=96, hop_ms=16, n_fft=2048),  # a window within a longer transform
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory, rendered) -> Callable[[FeatureConfig], Path]:
    """Makes a package and the program of it, once for each front end: the folder of both."""
    made: dict[FeatureConfig, Path] = {}

    def make(config: FeatureConfig, network: NetworkConfig = NETWORK) -> Path:
        if config in made:
            return made[config]
        folder = made[config] = tmp_path_factory.mktemp("program")
        features = {"config": asdict(config), "seconds": 0.5}
        sounds = sorted((rendered / "audio").iterdir())[::10]
        clips = np.concatenate([Frontend({"features": features}).read(path) for path in sounds])
        package.write(
            folder / "model.asc", deployed(network, 3, torch.from_numpy(clips)), network, LABELS, features=features
        )
        export(folder / "model.asc", c=folder / "c")
        flags = "CFLAGS=-O1 -Wall -Wextra -Werror -pedantic"
        subprocess.run(["make", flags], cwd=folder / "c", check=True, capture_output=True)
        return folder

    return make


def wav(sound: Path, rate: int, path: Path, **how) -> np.ndarray:
    """A sound at the rate that a network hears, as a WAV file of its own, and what is read of that."""
    samples = np.concatenate(list(read_blocks(sound, rate)))
    soundfile.write(path, samples, rate, **how)
    return np.concatenate(list(read_blocks(path, rate)))


def program(folder: Path, *arguments: object) -> bytes:
    return subprocess.run([folder / "c/asc", *map(str, arguments)], capture_output=True, check=True).stdout


@pytest.mark.parametrize("config", FRONT_ENDS, ids=str)
def test_the_features_are_those_of_training(config, programs, rendered, tmp_path):
    folder = programs(config)
    front_end = Predictor(folder / "model.asc", Engine.torch).frontend
    for sound in sorted((rendered / "audio").iterdir())[::60]:
        samples = wav(sound, config.sample_rate, tmp_path / "x.wav", subtype="PCM_16")
        mine = np.frombuffer(program(folder, "--features", tmp_path / "x.wav"), np.float32)
        ours = front_end.log_mel(samples[: front_end.length])
        np.testing.assert_allclose(mine.reshape(ours.shape), ours, atol=1e-3)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.3])
def test_the_scene_is_that_of_asc_predict(seconds, programs, rendered, tmp_path):
    """Of files that are shorter than a clip, as long, and longer than two."""
    folder = programs(FRONT_ENDS[0])
    predictor, formats = Predictor(folder / "model.asc", Engine.torch), ("PCM_16", "PCM_24", "FLOAT")
    for sound, subtype in zip(sorted((rendered / "audio").iterdir())[5::60], formats, strict=False):
        samples = np.tile(wav(sound, 16_000, tmp_path / "x.wav"), 3)[: round(seconds * 16_000)]
        soundfile.write(tmp_path / "x.wav", np.stack([samples, samples / 2], axis=1), 16_000, subtype=subtype)
        label, probability = program(folder, tmp_path / "x.wav").decode().rstrip().split("\t")
        expected = predictor(tmp_path / "x.wav")
        assert label == LABELS[expected.argmax()]
        assert float(probability) == pytest.approx(expected.max(), abs=0.01)


def test_the_filters_of_a_group_see_the_channels_of_that_group(programs, rendered, tmp_path):
    config = FeatureConfig(n_mels=32, hop_ms=20)
    folder = programs(config, NetworkConfig(name="cp_resnet_small", width=8, norm="none"))
    predictor = Predictor(folder / "model.asc", Engine.torch)
    for sound in sorted((rendered / "audio").iterdir())[5::60]:
        wav(sound, config.sample_rate, tmp_path / "x.wav")
        label, probability = program(folder, tmp_path / "x.wav").decode().rstrip().split("\t")
        expected = predictor(tmp_path / "x.wav")
        assert label == LABELS[expected.argmax()] and float(probability) == pytest.approx(expected.max(), abs=0.01)


def test_it_says_what_it_cannot_read(programs, tmp_path):
    folder = programs(FRONT_ENDS[0])
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "rate.wav", np.zeros(100), 44_100)
    soundfile.write(tmp_path / "law.wav", np.zeros(100), 16_000, subtype="ULAW")
    soundfile.write(tmp_path / "cut.wav", np.zeros(100), 16_000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:40])
    for name, why in {"text": "no WAV", "rate": "sample rate", "law": "format", "cut": "is", "none": "opened"}.items():
        done = subprocess.run([folder / "c/asc", tmp_path / f"{name}.wav"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and why in done.stderr and done.stdout == "", name


def test_nothing_is_allocated_and_no_memory_is_misused(programs, rendered, tmp_path):
    folder = programs(FRONT_ENDS[0])
    sources = "".join(path.read_text() for path in (folder / "c").glob("asc_*.[ch]"))
    assert "alloc(" not in sources and "alloca(" not in sources
    wav(next((rendered / "audio").iterdir()), 16_000, tmp_path / "x.wav")
    if shutil.which("valgrind") is None:
        pytest.skip("there is no valgrind here")
    command = ["valgrind", "--error-exitcode=9", "--leak-check=full", folder / "c/asc", tmp_path / "x.wav"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_folder_that_holds_something_is_left_alone(programs, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match=f"^{tmp_path}: there is something already"):
        export(programs(FRONT_ENDS[0]) / "model.asc", c=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
