"""The feature store on disk: the contract between feature extraction and everything that trains or evaluates."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asc_core.config import FeatureConfig
from asc_core.corpus.layout import unseen_devices
from asc_core.errors import UserError
from asc_core.files import digest, read_json, stamp


class FeatureStore:
    """The features of a corpus on disk: `features.npy` (clip, mel, frame) float16, and `clips.parquet`, a row a clip.

    The array is memory-mapped: a reader holds only the clips it asks for.

    Raises:
        UserError: the folder does not hold a store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.array = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
            self.clips = pd.read_parquet(folder / "clips.parquet")
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: not a feature store ({error}); run the stage extract_features") from None
        self.description = read_json(folder / "features.json")
        self.config = FeatureConfig(**self.description["config"])
        self.scenes: list[str] = sorted(self.clips["scene"].unique())
        self.labels = torch.tensor(self.clips["scene"].map(self.scenes.index).tolist())
        self.unseen = unseen_devices(self.clips)

    def rows(self, split: str) -> np.ndarray:
        """The row numbers of the clips of a split (train or test)."""
        return np.flatnonzero(self.clips["split"] == split)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Log-mel energies of the given rows: (batch, 1, mel, frame) float16."""
        order = np.argsort(rows, kind="stable")  # read the file forwards, whatever the order asked for
        batch = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        batch[order] = self.array[rows[order]]
        return torch.from_numpy(batch).unsqueeze(1)

    def key(self) -> str:
        """What tells this store from another one: its description, and the size and time of its array."""
        return digest(self.description, stamp(self.folder / "features.npy"))

    def statistics(self, split: str = "train", chunk: int = 256) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every mel band over a split's clips and frames: (mel,) float32 each."""
        rows = self.rows(split)
        total, squares = np.zeros(self.array.shape[1]), np.zeros(self.array.shape[1])
        for start in range(0, len(rows), chunk):
            part = self.array[rows[start : start + chunk]].astype(np.float64)
            total += part.sum(axis=(0, 2))
            squares += np.square(part).sum(axis=(0, 2))
        n = len(rows) * self.array.shape[2]
        mean = total / n
        return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(squares / n - mean**2)).float()
