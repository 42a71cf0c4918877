"""Shared by the tests: tables of predictions whose metrics are known."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

SCENES = ("bus", "park", "tram")


def clips(locations: int, devices: str = "abc", scenes: Iterable[str] = SCENES, prefix: str = "") -> pd.DataFrame:
    """As many locations of each scene, each with a clip of each device; the last device is unseen."""
    rows = [
        (f"audio/{prefix}{scene}-{number}-{device}.wav", scene, device, "net", f"{prefix}{scene}-{number}")
        for scene in scenes
        for number in range(locations)
        for device in devices
    ]
    table = pd.DataFrame(rows, columns=["filename", "scene", "device", "model", "location"])
    return table.assign(unseen=table["device"] == devices[-1])


def answered(table: pd.DataFrame, right: Any, confidence: Any = 0.8) -> pd.DataFrame:
    """The table of a network that is right where `right` says so, each time with that confidence."""
    scenes = sorted(table["scene"].unique())
    labels = table["scene"].map(scenes.index).to_numpy()
    answers = np.where(right, labels, (labels + 1) % len(scenes))
    confidence = np.broadcast_to(np.asarray(confidence, float), len(table))
    probabilities = np.repeat((1 - confidence)[:, None] / (len(scenes) - 1), len(scenes), axis=1)
    probabilities[np.arange(len(table)), answers] = confidence
    return pd.concat([table.reset_index(drop=True), pd.DataFrame(probabilities, columns=scenes)], axis=1)


def by_location(table: pd.DataFrame, chance: Callable[[int], np.ndarray]) -> np.ndarray:
    """For each clip what `chance` gives its location: (clips,)."""
    indices = pd.factorize(table["location"])[0]
    return chance(indices.max() + 1)[indices]
