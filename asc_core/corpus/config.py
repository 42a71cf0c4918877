"""What the sources of a corpus can be told."""

import math
from dataclasses import dataclass

from asc_core.config import Config
from asc_core.errors import UserError


@dataclass(frozen=True)
class SyntheticConfig(Config):
    """Size and seed of the corpus.

    Attributes:
        clip_seconds: length of every clip.
        train_recordings: recordings per scene in the training split, all of which exist for device a.
        train_copies: how many of them also exist for each other training device.
        test_recordings: recordings per scene in the test split, each through all nine devices.
        seed: of every random number but the devices' responses.

    Raises:
        UserError: a value is out of range.
    """

    clip_seconds: float = 2.0
    train_recordings: int = 30
    train_copies: int = 6
    test_recordings: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        seconds = self.clip_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.5 <= seconds <= 60:
            raise UserError(f"clip_seconds: must be a number from 0.5 to 60, not {seconds!r}")
        highest = {"train_copies": self.train_recordings}
        for name, lowest in (("train_recordings", 1), ("train_copies", 0), ("test_recordings", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise UserError(f"{name}: must be a whole number of at least {lowest}, not {value!r}")
            if value > highest.get(name, math.inf):
                raise UserError(f"{name}: {value} is more than the {highest[name]} of train_recordings")


@dataclass(frozen=True)
class FetchConfig(Config):
    """Where the archives come from and what becomes of them."""

    base_url: str = "https://zenodo.org/records/3819968/files"  # or a mirror: NAME?download=1 is appended
    archives: str | None = None  # a folder of archives: used instead of the network, never changed
    keep_archives: bool = False  # move downloaded archives to archives/ in the corpus instead of deleting them
    connections: int = 3  # archives downloaded at once
