"""The validation split: locations, and on top devices, that are held back from training whole.

With both in it one can choose for new places and for new devices, without a look at the test split.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_core.corpus.config import ValidationSplit
from asc_core.errors import ConfigError


@dataclass(frozen=True)
class HeldBack:
    """The locations and devices of the training list that are not trained on, both sorted."""

    locations: list[str]
    devices: list[str]

    def splits(self, clips: pd.DataFrame) -> pd.Series:
        """The split of each clip of a table in which that column says train or test, as the corpus lists it.

        Training clips at a location that is held back are in the split validation, whatever their device; those of a
        device that is held back at any other location are in no split, which is a missing value.
        """
        training = clips["split"] == "train"
        splits = clips["split"].mask(training & clips["device"].isin(self.devices))
        return splits.mask(training & clips["location"].isin(self.locations), "validation")


def hold_back(clips: pd.DataFrame, config: ValidationSplit) -> HeldBack:
    """Choose from the training clips of a corpus (as `layout.read_corpus` has them) what is held back.

    Of every scene with two locations or more it is the configured share of its locations, rounded, and at least one.
    The order of the rows has no part in it, and the devices have none in the choice of the locations.

    Raises:
        ConfigError: a device is unknown, there are too few devices or locations, or a scene would have no clip left to
            train on.
    """
    training = clips[clips["split"] == "train"]
    held = HeldBack(_locations(training, config), _devices(training, config))
    left = training.loc[held.splits(training) == "train", "scene"]
    if empty := sorted({*training["scene"].dropna()} - {*left}):
        names = ", ".join(held.devices)
        raise ConfigError(
            f"without {names} there is no clip of the scene {empty[0]} to train on; name others", "devices"
        )
    return held


def _locations(training: pd.DataFrame, config: ValidationSplit) -> list[str]:
    scenes: dict[str, list[str]] = {}  # of a location: mostly one
    for scene, location in sorted(set(training[["scene", "location"]].dropna().itertuples(index=False, name=None))):
        scenes.setdefault(location, []).append(scene)
    counts = Counter(scene for own in scenes.values() for scene in own)
    wanted = {scene: max(1, round(config.locations * count)) for scene, count in counts.items() if count > 1}
    if not wanted:
        raise ConfigError("no scene has two training locations, of which one could be held back", "locations")
    for scene, number in wanted.items():
        if number == counts[scene]:
            share = f"{config.locations:g} of the {number} locations of the scene {scene}"
            raise ConfigError(f"{share} leaves none to train on; hold back less", "locations")
    names, held, taken = sorted(scenes), [], Counter[str]()
    for number in np.random.default_rng([config.seed, 0]).permutation(len(names)):
        own = scenes[names[number]]
        lacking = any(taken[each] < wanted.get(each, 0) for each in own)
        if lacking and all(taken[each] < counts[each] - 1 for each in own):
            held.append(names[number])
            taken.update(own)
    return sorted(held)


def _devices(training: pd.DataFrame, config: ValidationSplit) -> list[str]:
    counts = training["device"].value_counts()
    names = sorted(counts.index)
    if not isinstance(config.devices, int):
        unknown = sorted(set(config.devices) - set(names))
        if unknown:
            raise ConfigError(f"unknown name {', '.join(unknown)}, training has {', '.join(names)}", "devices")
        return sorted(set(config.devices))
    reference = max(names, key=counts.__getitem__, default=None)
    others = [name for name in names if name != reference]
    if config.devices > len(others):
        raise ConfigError(
            f"{config.devices} is more than the {len(others)} training devices that there are beside the one with the "
            "most clips, which is never held back by number",
            "devices",
        )
    order = np.random.default_rng([config.seed, 1]).permutation(len(others))
    return sorted(others[number] for number in order[: config.devices])
