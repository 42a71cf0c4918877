"""Measured impulse responses, as gains in the bands of a feature store."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asc_core.errors import UserError
from asc_core.features.audio import read_header, read_samples
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel
from asc_core.files import absence

SUFFIXES = (".wav", ".flac")
DEEPEST = 1e-6  # of the strongest band: a band that a response has nothing of would be minus infinity


def files(folder: Path) -> list[Path]:
    """The WAV and FLAC files directly in a folder, by name.

    Raises:
        UserError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else absence(folder)}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder}: no impulse response (.wav or .flac) in it")
    return found


def fingerprint(folder: Path) -> str:
    """What tells the responses in a folder from others: 16 hexadecimal digits of the SHA-256 of the files' bytes.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    whole = sha256()
    for path in files(folder):
        try:
            whole.update(sha256(path.read_bytes()).digest())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return whole.hexdigest()[:16]


@lru_cache(maxsize=4)  # the same for every batch
def band_gains(folder: Path, expected: str | None, config: FeatureConfig) -> Tensor:
    """Natural logarithms of the energy gains of each response in a folder: (responses, mel), the mean of each is 0.

    Raises:
        UserError: there is none, they have another fingerprint than the expected one, or one is no usable sound.
    """
    found = fingerprint(folder)
    if found != expected:
        other = f"not {expected}" if expected else "and none is expected"
        raise UserError(f"{folder}: its impulse responses have the fingerprint {found}, {other}")
    filters = LogMel(config).filters  # (mel, bin)
    power = np.stack([_power(path, config) for path in files(folder)])  # (responses, bin)
    energy = (filters @ power.T).T / np.maximum(filters.sum(axis=1), np.finfo(np.float32).tiny)
    gains = np.log(np.maximum(energy, DEEPEST * energy.max(axis=1, keepdims=True)))
    return torch.from_numpy(gains - gains.mean(axis=1, keepdims=True)).float()


def _power(path: Path, config: FeatureConfig) -> np.ndarray:
    """The power of a response at the bins of the features' spectra: (1 + fft // 2,).

    What is longer than a window is cut to one around its peak, its last quarter faded: what comes later would be heard
    in other frames. Its spectrum is read at the features' frequencies, whatever its own rate; above half of that, the
    last value holds. A resampler's edge would count twice, as clips have been through one already.
    """
    header = read_header(path)
    if header.problem:
        raise UserError(f"{path}: {header.problem}")
    rate = int(header.sample_rate or 0)
    samples = read_samples(path, rate).astype(np.float64)
    peak = int(np.abs(samples).argmax())
    if samples[peak] == 0:
        raise UserError(f"{path}: is silent")
    length = round(rate * config.window_ms / 1000)
    if len(samples) > length:
        start = max(0, peak - length // 8)
        samples = samples[start : start + length]
        fade = np.cos(np.linspace(0, np.pi / 2, length // 4)) ** 2
        samples[-len(fade) :] *= fade[: len(samples)]
    spectrum = np.fft.rfft(samples, 4 * max(length, len(samples)))
    frequencies = np.linspace(0, rate / 2, len(spectrum))
    bins = np.fft.rfftfreq(config.fft_length, 1 / config.sample_rate)
    return np.interp(bins, frequencies, np.square(np.abs(spectrum)))
