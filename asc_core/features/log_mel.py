"""Waveform to log-mel energies."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asc_core.features.config import FeatureConfig

ENERGY_FLOOR = 1e-10  # digital silence has a logarithm too
BLOCK = 32  # frames at a time, whose spectra stay in a core's cache until they are mel energies


class LogMel:
    """Samples (n,) float32 to natural logarithms of mel energies (n_mels, 1 + n // hop_length) float32.

    The same numbers as `numpy.log(librosa.feature.melspectrogram(...))` (Slaney filters, periodic Hann window, zeros
    beyond the edges), but the filter matrix is applied as the sparse matrix it is: each bin feeds at most two bands.
    """

    def __init__(self, config: FeatureConfig) -> None:
        import librosa
        from scipy.sparse import csr_array

        self.config = config
        spare = config.fft_length - config.window_length
        self.window = functional.pad(torch.hann_window(config.window_length), (spare // 2, spare - spare // 2))
        filters = librosa.filters.mel(sr=config.sample_rate, n_fft=config.fft_length, n_mels=config.n_mels)
        self.filters = csr_array(filters)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return self.energies(self.frames(samples))

    def frames(self, samples: np.ndarray) -> Tensor:
        """What the transforms take: (frames, fft_length) of samples (n,), with zeros beyond the edges."""
        edge = self.config.fft_length // 2
        padded = functional.pad(torch.from_numpy(samples), (edge, edge))
        return padded.unfold(0, self.config.fft_length, self.config.hop_length)

    def energies(self, frames: Tensor) -> np.ndarray:
        """Logarithms of the mel energies (n_mels, frames) of frames (frames, fft_length)."""
        energies = np.empty((self.config.n_mels, len(frames)), np.float32)
        for at in range(0, len(frames), BLOCK):
            spectrum = torch.fft.rfft(frames[at : at + BLOCK] * self.window).numpy().T  # (1 + fft / 2, block)
            power = np.square(spectrum.real, order="C")
            power += np.square(spectrum.imag)
            energies[:, at : at + BLOCK] = self.filters @ power
        return np.log(np.maximum(energies, ENERGY_FLOOR))


class SlidingLogMel:
    """`LogMel` of windows (length,) that follow one another, each `hop` samples after the one before.

    A frame that lies inside two windows is computed once; only the few at their edges, where zeros stand for what is
    beyond, are computed for each.

    Args:
        hop: a multiple of the features' own, at most `length`.
    """

    def __init__(self, log_mel: LogMel, length: int, hop: int) -> None:
        config = log_mel.config
        edge = config.fft_length // 2
        inside_from = -(-edge // config.hop_length)
        inside_to = 1 + (length + edge - config.fft_length) // config.hop_length
        self.log_mel, self.step = log_mel, hop // config.hop_length
        self.known = range(inside_from, max(inside_from, inside_to - self.step))  # of a window, from the one before
        self.last: np.ndarray | None = None

    def __call__(self, window: np.ndarray) -> np.ndarray:
        frames = self.log_mel.frames(window)
        energies = np.empty((self.log_mel.config.n_mels, len(frames)), np.float32)
        known = self.known if self.last is not None else range(0)
        new = [index for index in range(len(frames)) if index not in known]
        energies[:, new] = self.log_mel.energies(frames[new])
        if self.last is not None:
            energies[:, known] = self.last[:, known.start + self.step : known.stop + self.step]
        self.last = energies
        return energies


def cut_windows(blocks: Iterable[np.ndarray], length: int, hop: int | None = None) -> Iterator[np.ndarray]:
    """Every whole window (length,) of samples that come in blocks (n,); of fewer samples, one window that repeats them.

    What is left at the end is no window, and no more than one is held.

    Args:
        hop: from one window to the next, at most `length`; None: that, so that they do not overlap.
    """
    hop = length if hop is None else hop
    window, filled, any_window = np.empty(length, np.float32), 0, False
    for block in blocks:
        while len(block):
            part = block[: length - filled]
            window[filled : filled + len(part)] = part
            filled, block = filled + len(part), block[len(part) :]
            if filled == length:
                yield window
                following = np.empty(length, np.float32)  # the last one is whoever's took it
                following[: length - hop] = window[hop:]
                window, filled, any_window = following, length - hop, True
    if not any_window:
        yield fit_length(window[:filled], length)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Exactly `length` samples: longer clips are cut, shorter ones repeated (silence would be a scene of its own)."""
    if len(samples) < length:
        samples = np.tile(samples, -(-length // len(samples)))
    return samples[:length]
