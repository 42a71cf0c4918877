"""Nested shares of a training split, for training on little data as DCASE has it from 2024 on."""

import math
import re
import zlib

import pandas as pd

from asc_core.corpus.layout import NAME_GRAMMAR

SHARES = (5, 10, 25, 50, 100)  # percent
FOLDER = "split_setup"


def list_of(share: int) -> str:
    """Where a corpus has the list of a share."""
    return f"{FOLDER}/split{share}.csv"


def shares(train: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The rows of a training list (filename, scene_label) in each share.

    In every scene a share has so many of its recordings, with all their parts and devices, and at least one; a larger
    share has all that a smaller one has. Which ones depends on their names alone.
    """
    numbers = train["filename"].map(lambda name: zlib.crc32(_recording(name).encode()))
    keys = pd.DataFrame({"scene": train["scene_label"], "number": numbers})
    ranks = keys.groupby("scene")["number"].rank(method="dense")
    counts = keys.groupby("scene")["number"].transform("nunique")
    return {share: train[ranks <= (counts * share / 100).map(math.ceil)] for share in SHARES}


def _recording(name: str) -> str:
    """The name of a file without part and device; of one that is not named so, the whole."""
    found = re.match(NAME_GRAMMAR, name)
    return "-".join(["audio/" + found["scene"], *found.group("city", "location", "segment")]) if found else name
