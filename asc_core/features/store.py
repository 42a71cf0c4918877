"""The feature store on disk: the contract between feature extraction and everything that trains or evaluates."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asc_core.errors import UserError, reason
from asc_core.features.clips import SPLITS, unseen_devices
from asc_core.features.config import FeatureConfig
from asc_core.files import digest, read_json, stamp


class FeatureStore:
    """The features of a corpus on disk: `features.npy` (clip, mel, frame) float16, and `clips.parquet`, a row a clip.

    The array is memory-mapped: a reader holds only the clips it asks for.

    Args:
        training: names of files; the other clips of the training split are then in no split. None: all stay.

    Raises:
        UserError: the folder does not hold a store, or one whose parts do not fit each other.
    """

    def __init__(self, folder: Path, training: Collection[str] | None = None) -> None:
        self.folder, self.training = folder, training
        try:
            self.array = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
            self.clips = pd.read_parquet(folder / "clips.parquet")
            self.description = read_json(folder / "features.json")
            self.config = FeatureConfig(**self.description["config"])
            self._check()
        except Exception as error:  # what the readers of the three formats raise has no base of its own
            raise UserError(f"{folder}: not a feature store ({reason(error)})") from None
        if training is not None:
            left_out = (self.clips["split"] == "train") & ~self.clips["filename"].isin(training)
            self.clips["split"] = self.clips["split"].mask(left_out, "")
        self.scenes: list[str] = sorted(self.clips["scene"].unique())
        self.labels = torch.tensor(self.clips["scene"].map(self.scenes.index).tolist())
        self.unseen = unseen_devices(self.clips)
        # Training devices by name, and for each clip the index of its device among them, -1 for one that is not.
        self.devices: list[str] = sorted(self.clips.loc[self.clips["split"] == "train", "device"].unique())
        indices = {device: index for index, device in enumerate(self.devices)}
        self.device_indices = torch.tensor([indices.get(device, -1) for device in self.clips["device"]])

    def _check(self) -> None:
        """Hold the array, the table and the description to each other."""
        frames = self.config.frames(float(self.description["seconds"]))
        expected = (len(self.clips), self.config.n_mels, frames)
        if self.array.shape != expected or self.array.dtype != np.float16:
            found = f"{self.array.shape} {self.array.dtype}"
            raise ValueError(f"features.npy holds {found}, clips.parquet and features.json tell of {expected} float16")
        for column in ("scene", "device", "split"):
            if not self.clips[column].map(lambda value: isinstance(value, str)).all():
                raise ValueError(f"clips.parquet has a {column} that is no text")
        if not self.clips["split"].isin(SPLITS).all():
            raise ValueError(f"clips.parquet has a split that is none of {', '.join(SPLITS)}")

    def rows(self, split: str) -> np.ndarray:
        """The row numbers of the clips of a split: train, validation (none where nothing is held back) or test."""
        return np.flatnonzero(self.clips["split"] == split)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Log-mel energies of the given rows: (batch, 1, mel, frame) float16.

        Raises:
            UserError: one of them is not finite.
        """
        order = np.argsort(rows, kind="stable")  # read the file forwards, whatever the order asked for
        batch = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        batch[order] = self._read(rows[order])
        return torch.from_numpy(batch).unsqueeze(1)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        part = self.array[rows]
        if not np.isfinite(part).all():
            row = rows[~np.isfinite(part).all(axis=(1, 2))][0]
            raise UserError(f"{self.folder}: the features in row {row} are not finite")
        return part

    def key(self) -> str:
        """What tells this store from another one: its description, the size and time of its array, and what of it is
        trained on."""
        own = [] if self.training is None else [sorted(self.training)]
        return digest(self.description, stamp(self.folder / "features.npy"), *own)

    def statistics(self, split: str = "train", chunk: int = 256) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every mel band over a split's clips and frames: (mel,) float32 each.

        Raises:
            UserError: there are no such clips, or one is not finite.
        """
        rows = self.rows(split)
        total, squares = np.zeros(self.array.shape[1]), np.zeros(self.array.shape[1])
        for start in range(0, len(rows), chunk):
            part = self._read(rows[start : start + chunk]).astype(np.float64)
            total += part.sum(axis=(0, 2))
            squares += np.square(part).sum(axis=(0, 2))
        n = len(rows) * self.array.shape[2]
        if not n:
            raise UserError(f"{self.folder}: the split {split} has no clips")
        mean = total / n
        variance = np.maximum(squares / n - mean**2, 0)  # rounding can leave a constant band just below zero
        return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(variance)).float()

    def device_curves(self, chunk: int = 256) -> Tensor:
        """Log gain of every training device in every mel band: (devices, mel) float32; only differences have a meaning.

        The mean log-mel spectra of all (scene, device) pairs of the training split are explained, by least squares, as
        the sum of a scene's spectrum and a device's curve. So the difference between two devices that recorded the same
        scenes is the mean over scenes of their differences there, however many clips of each scene each of them has;
        devices without a scene in common are compared through the others.
        """
        rows = self.rows("train")
        scenes, devices = self.labels.numpy()[rows], self.device_indices.numpy()[rows]
        cells = scenes * len(self.devices) + devices
        totals = np.zeros((len(self.scenes) * len(self.devices), self.array.shape[1]))
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            np.add.at(totals, cells[part], self._read(rows[part]).astype(np.float32).mean(axis=2))
        counts = np.bincount(cells, minlength=len(totals))
        found = np.flatnonzero(counts)
        spectra = totals[found] / counts[found, None]  # (cell, mel)
        design = np.zeros((len(found), len(self.scenes) + len(self.devices)))
        design[np.arange(len(found)), found // len(self.devices)] = 1
        design[np.arange(len(found)), len(self.scenes) + found % len(self.devices)] = 1
        solution = np.linalg.lstsq(design, spectra, rcond=None)[0]  # (scenes + devices, mel)
        return torch.from_numpy(solution[len(self.scenes) :]).float()
