"""From a sound file on disk to its scene: `asc predict` against librosa and eager torch, in a warm process.

    python benchmarks/predict.py [--pairs 100]

The file is 10 s of noise, 44.1 kHz, 24 bit, mono, as the clips of TAU Urban Acoustic Scenes are. The other way is what
one writes first: `librosa.load(sr=16000)`, `librosa.feature.melspectrogram`, the logarithm, the same deployed network
in torch. The networks are untrained, half of their weights pruned; nothing here depends on what they have learnt.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from threadpoolctl import threadpool_limits

from asc_core.compression import package
from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize
from asc_core.cores import usable_cores
from asc_core.deploy.onnx import to_onnx
from asc_core.deploy.predictor import Predictor
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import ENERGY_FLOOR
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

CONFIG, SECONDS, RATE = FeatureConfig(), 10.0, 44_100
LABELS = [f"scene{number}" for number in range(10)]
TAUS = (1, 2, 8)


def model(folder: Path, tau: int) -> tuple[Path, torch.nn.Module]:
    """A deployed network, exported, and as torch computes it."""
    torch.manual_seed(0)
    config = NetworkConfig(tau=tau)
    network = build(config, len(LABELS))
    prune(network, 0.5)
    quantize(network)
    path = folder / f"tau{tau}.asc"
    package.write(path, network, config, LABELS, features={"config": asdict(CONFIG), "seconds": SECONDS})
    network, description = package.read(path)
    path.with_suffix(".onnx").write_bytes(to_onnx(network, description))
    return path.with_suffix(".onnx"), network


def ours(model: Path, threads: int) -> Callable[[Path], int]:
    """The way of `asc predict`, with more threads for the network where asked for."""
    predictor = Predictor(model, threads=threads)

    def label(path: Path) -> int:
        torch.set_num_threads(1)  # for the features, as the command does
        return int(predictor(path).argmax())

    return label


def plain(network: torch.nn.Module, threads: int) -> Callable[[Path], int]:
    """The way of librosa and torch."""

    @torch.inference_mode()
    def label(path: Path) -> int:
        torch.set_num_threads(threads)
        samples, rate = librosa.load(path, sr=CONFIG.sample_rate)
        energies = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=CONFIG.fft_length, hop_length=CONFIG.hop_length, n_mels=CONFIG.n_mels
        )
        features = torch.from_numpy(np.log(np.maximum(energies, ENERGY_FLOOR)))
        return int(network(features[None, None]).argmax())

    return label


def compare(clip: Path, one: Callable[[Path], int], other: Callable[[Path], int], pairs: int) -> np.ndarray:
    """Seconds of both ways, taken in turn: (pairs, 2)."""
    for _ in range(5):
        assert one(clip) == other(clip)
    times = np.empty((pairs, 2))
    for row in times:
        for column, label in enumerate((one, other)):
            start = time.perf_counter()
            label(clip)
            row[column] = time.perf_counter() - start
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100, help="how often each way is taken (%(default)s)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip.wav"
        noise = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * RATE))
        soundfile.write(clip, noise, RATE, subtype="PCM_24")
        print("tau  threads  asc [ms]  librosa + torch [ms]  times as fast")
        for tau in TAUS:
            path, network = model(Path(name), tau)
            for threads in sorted({1, usable_cores()}):
                with threadpool_limits(threads):  # of NumPy's matrix products, for librosa
                    times = compare(clip, ours(path, threads), plain(network, threads), pairs)
                one, other = 1000 * np.median(times, axis=0)
                ratio = np.median(times[:, 1] / times[:, 0])
                print(f"{tau:>3}  {threads:>7}  {one:>8.2f}  {other:>20.2f}  {ratio:>13.2f}", flush=True)


if __name__ == "__main__":
    main()
