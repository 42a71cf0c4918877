"""From sound to what a network hears, exactly as in training."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_core.config import shown
from asc_core.errors import UserError
from asc_core.features.audio import read_blocks
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel, SlidingLogMel, cut_windows

ENTRIES = 1 << 21  # most numbers in the features of one clip; published: 256 bands x 334 frames


def features_of(description: dict[str, Any]) -> tuple[FeatureConfig, float]:
    """The features that a network was trained on, and the length of its clips in seconds.

    Args:
        description: of a package; its entry `features` is {"config": fields of `FeatureConfig`, "seconds": length}.

    Raises:
        UserError: there is no such entry, or its clips are empty or longer than any that a network is trained on.
    """
    try:
        features = description["features"]
        config, seconds = FeatureConfig(**features["config"]), float(features["seconds"])
        if round(seconds * config.sample_rate) < 1 or config.n_mels * config.frames(seconds) > ENTRIES:
            raise ValueError(f"clips of {seconds} s")
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"it does not say what features it was trained on ({shown(error)})") from None
    return config, seconds


def shape_of(description: dict[str, Any]) -> tuple[int, int, int]:
    """The shape (1, mel, frame) of the features of one clip that a network was trained on.

    Raises:
        UserError: as `features_of` does.
    """
    config, seconds = features_of(description)
    return 1, config.n_mels, config.frames(seconds)


class Frontend:
    """Sound to the features of its windows: (windows, 1, mel, frame) float32, as the feature store holds them.

    A window is as long as the training's clips. Sound that is shorter is repeated to that length, as in training; of
    a longer one every whole window counts, and what is left at its end does not (training keeps the first one).

    Raises:
        UserError: the description of a package does not say what features its network was trained on.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.config, seconds = features_of(description)
        self.length = round(seconds * self.config.sample_rate)
        self.log_mel = LogMel(self.config)

    def windows(self, path: Path) -> Iterator[np.ndarray]:
        """The features of each window of a file, (1, mel, frame) float32, in memory that does not grow with its length.

        Raises:
            UserError: the file cannot be decoded to its end, or holds no sample or an unusable one. Windows may have
                come before.
        """
        for window in cut_windows(read_blocks(path, self.config.sample_rate), self.length):
            yield _stored(self.log_mel(window))

    def sliding(self, blocks: Iterable[np.ndarray], hop: int) -> Iterator[np.ndarray]:
        """The features of windows that overlap, of samples (n,) at `config.sample_rate` Hz as they come.

        Each is ready with the last of its samples, and the features that it has as a clip of its own; frames that lie
        inside two windows are computed once.

        Args:
            hop: samples from one window to the next, a multiple of `config.hop_length`, at most `length`.
        """
        log_mel = SlidingLogMel(self.log_mel, self.length, hop)
        for window in cut_windows(blocks, self.length, hop):
            yield _stored(log_mel(window))

    def read(self, path: Path) -> np.ndarray:
        """The features of a file: all its windows.

        Raises:
            UserError: the file cannot be decoded to its end, or holds no sample or an unusable one.
        """
        return np.stack(list(self.windows(path)))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The features of samples (samples,) float32, mono at `config.sample_rate` Hz, at least one."""
        return np.stack([_stored(self.log_mel(window)) for window in cut_windows([samples], self.length)])


def _stored(log_mel: np.ndarray) -> np.ndarray:
    """Log-mel energies (mel, frame) as the store that networks are trained on holds them, in half precision:
    (1, mel, frame) float32."""
    return torch.from_numpy(log_mel).half().float().unsqueeze(0).numpy()  # torch rounds ten times as fast as NumPy
