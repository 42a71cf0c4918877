"""Waveform to log-mel energies, and a whole corpus of them into a feature store."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from torch.nn import functional

from asc_core.config import FeatureConfig
from asc_core.corpus.audio import read_samples
from asc_core.files import digest, replacing, stamp, write_json
from asc_core.progress import track

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
        self.window = torch.hann_window(config.n_fft)
        filters = librosa.filters.mel(sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels)
        self.filters = csr_array(filters)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        edge = self.config.n_fft // 2
        padded = functional.pad(torch.from_numpy(samples), (edge, edge))
        frames = padded.unfold(0, self.config.n_fft, self.config.hop_length)  # (frames, n_fft)
        energies = np.empty((self.config.n_mels, len(frames)), np.float32)
        for at in range(0, len(frames), BLOCK):
            spectrum = torch.fft.rfft(frames[at : at + BLOCK] * self.window).numpy().T  # (1 + n_fft / 2, block)
            power = np.square(spectrum.real, order="C")
            power += np.square(spectrum.imag)
            energies[:, at : at + BLOCK] = self.filters @ power
        return np.log(np.maximum(energies, ENERGY_FLOOR))


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Exactly `length` samples: longer clips are cut, shorter ones repeated (silence would be a scene of its own)."""
    if len(samples) < length:
        samples = np.tile(samples, -(-length // len(samples)))
    return samples[:length]


def extract(corpus: Path, clips: pd.DataFrame, config: FeatureConfig, folder: Path, work: Path, workers: int) -> None:
    """Write the feature store of `clips` (as `corpus.layout` reads them, with `seconds`) to `folder`.

    All clips get the most common length among them. Rows are written in place by `workers` processes into an array
    under `work`, which an interrupted call leaves and the next one with the same clips continues; the finished store
    is then moved to `folder`.

    Raises:
        UserError: a clip cannot be decoded.
    """
    seconds = float(clips["seconds"].round(3).mode().iloc[0])
    shape = (len(clips), config.n_mels, config.frames(seconds))
    paths = [corpus / name for name in clips["filename"]]
    stamps = np.array([stamp(path) for path in paths], dtype=np.uint64)
    key = digest(asdict(config), seconds, clips["filename"].tolist())
    part = work / key
    part.mkdir(parents=True, exist_ok=True)
    array_path, done_path = part / "features.npy", part / "done.npy"
    for path, dtype, size in ((array_path, np.float16, shape), (done_path, np.uint64, shape[:1])):
        if not path.exists():
            with replacing(path) as temporary:
                open_memmap(temporary, mode="w+", dtype=dtype, shape=size).flush()
    done = open_memmap(done_path, mode="r+")
    todo = np.flatnonzero(done != stamps)
    jobs = [(int(row), str(paths[row])) for row in todo]
    length = round(seconds * config.sample_rate)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(array_path, config, length)
    ) as pool:
        try:
            for row in track(pool.map(_extract_row, jobs, chunksize=4), len(jobs), "features"):
                done[row] = stamps[row]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            done.flush()
    clips.reset_index(drop=True).to_parquet(part / "clips.parquet", index=False)
    write_json(part / "features.json", {"config": asdict(config), "seconds": seconds})
    del done
    done_path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, folder)
    shutil.rmtree(work, ignore_errors=True)


# What a worker process keeps between clips.
_array: np.ndarray
_log_mel: LogMel
_length: int


def _start_worker(array_path: Path, config: FeatureConfig, length: int) -> None:
    global _array, _log_mel, _length
    torch.set_num_threads(1)  # the processes are the parallelism
    _array, _log_mel, _length = open_memmap(array_path, mode="r+"), LogMel(config), length


def _extract_row(job: tuple[int, str]) -> int:
    row, path = job
    samples = read_samples(Path(path), _log_mel.config.sample_rate)
    _array[row] = _log_mel(fit_length(samples, _length))
    return row
