"""Nested shares of a training split, for training on little data as DCASE has it from 2024 on."""

import math
import zlib

import pandas as pd

SHARES = (5, 10, 25, 50, 100)  # percent
FOLDER = "split_setup"


def list_of(share: int) -> str:
    """Where a corpus has the list of a share."""
    return f"{FOLDER}/split{share}.csv"


def shares(train: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The rows of a training list (filename, scene_label) of parts of recordings in each share.

    In every scene a share has so many of its segments, with all their parts and devices, and at least one; a larger
    share has all that a smaller one has. Which ones depends on their names alone.
    """
    segments = train["filename"].str.rsplit("-", n=2).str[0]  # without part and device
    numbers = segments.map(lambda name: zlib.crc32(name.encode()))
    keys = pd.DataFrame({"scene": train["scene_label"], "number": numbers})
    ranks = keys.groupby("scene")["number"].rank(method="dense")
    counts = keys.groupby("scene")["number"].transform("nunique")
    return {share: train[ranks <= (counts * share / 100).map(math.ceil)] for share in SHARES}
