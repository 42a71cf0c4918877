"""What the sources of a corpus can be told."""

import math
from dataclasses import dataclass
from typing import Annotated

from asc_core.config import SEED, Config, Range
from asc_core.errors import ConfigError


@dataclass(frozen=True)
class SyntheticConfig(Config):
    """Size and seed of the corpus.

    Attributes:
        clip_seconds: length of every recording.
        train_recordings: recordings per scene in the training split, all of which exist for device a.
        train_copies: how many of them also exist for each other training device.
        test_recordings: recordings per scene in the test split, each through all nine devices.
        seed: of every random number but the devices' responses.
        part_seconds: length of the files that each recording is cut into, named by part as in TAU 2022, with nested
            shares of the training split in `split_setup`; None: a recording is a file.

    Raises:
        ConfigError: a value is out of range, or there are more copies than recordings.
    """

    clip_seconds: Annotated[float, Range(0.5, 60)] = 2.0
    train_recordings: Annotated[int, Range(1, 100_000)] = 30
    train_copies: Annotated[int, Range(0, 100_000)] = 6
    test_recordings: Annotated[int, Range(1, 100_000)] = 5
    seed: Annotated[int, SEED] = 0
    part_seconds: Annotated[float, Range(0.5, 60)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts is not None and not math.isclose(self.parts * (self.part_seconds or 0), self.clip_seconds):
            raise ConfigError(f"needs to divide the {self.clip_seconds} of clip_seconds", "part_seconds")
        if self.train_copies > self.train_recordings:
            raise ConfigError(
                f"{self.train_copies} is more than the {self.train_recordings} of train_recordings", "train_copies"
            )

    @property
    def parts(self) -> int | None:
        """How many files a recording is cut into; None where it is not cut."""
        return None if self.part_seconds is None else round(self.clip_seconds / self.part_seconds)


@dataclass(frozen=True)
class Lists(Config):
    """Which tables of a corpus name the clips of its splits, as paths within it.

    Attributes:
        train: the training split.
        test: the test split.
        evaluation: what is only to be classified; where there is no such table, or it is empty, the test split.
    """

    train: str = "evaluation_setup/fold1_train.csv"
    test: str = "evaluation_setup/fold1_evaluate.csv"
    evaluation: str = "evaluation_setup/fold1_test.csv"


@dataclass(frozen=True)
class ValidationSplit(Config):
    """What is held back from training, to choose settings by.

    Attributes:
        locations: the share of the training locations of every scene.
        devices: how many of the training devices, or which. By number the one with the most clips is never among them.
        seed: of what is drawn.
    """

    locations: Annotated[float, Range(0.01, 0.9)] = 0.2
    devices: Annotated[int, Range(0, 1_000)] | list[str] = 1
    seed: Annotated[int, SEED] = 0


@dataclass(frozen=True)
class FetchConfig(Config):
    """Where the archives come from and what becomes of them."""

    base_url: str | None = None  # a mirror of all files, instead of the servers that the manifest names
    archives: str | None = None  # a folder of archives: used instead of the network, never changed
    keep_archives: bool = False  # move downloaded archives to archives/ in the corpus instead of deleting them
    connections: Annotated[int, Range(1, 32)] = 3  # archives downloaded at once
