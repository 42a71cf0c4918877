"""The tables behind the plots: what the page, `dvc plots` and any other tool draw from, so that all of them agree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from asc_core.files import replacing
from pipeline.paths import PLOTS, made

CURVES = PLOTS / "curves.csv"
DEVICES = PLOTS / "devices.csv"
CONFUSION = PLOTS / "confusion.csv"
VEGA = PLOTS / "vega.js"


def curves(files: Mapping[tuple[str, int], Path]) -> pd.DataFrame:
    """The learning curves of networks by name and seed, a row an epoch: network, seed, epoch, loss, learning_rate, and
    metrics on the validation split where there is one.

    Raises:
        UserError: a file is missing.
    """
    tables = []
    for (network, seed), file in files.items():
        table = pd.read_csv(made(file))
        table.insert(0, "network", network)
        table.insert(1, "seed", seed)
        if len(table):  # else the stage had nothing to train
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def devices(summary: Mapping[str, Any], network: str, unseen: list[str]) -> pd.DataFrame:
    """Accuracy in percent of a network on each device, and whether training heard it."""
    rows = [
        {"device": name, "accuracy": value["mean"], "heard": "never" if name in unseen else "in training"}
        for name, value in summary[network]["accuracy_by_device"].items()
    ]
    return pd.DataFrame(rows)


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """The scene and the answer of each clip, a row a clip and seed.

    Args:
        predictions: a row a clip: `scene`, and as its only columns of numbers the probability of each scene.
    """
    answers = predictions.select_dtypes("number").idxmax(axis=1)
    return pd.DataFrame({"scene": predictions["scene"], "answer": answers})


def headlines(model: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers by which runs are compared: means over the seeds of what ships, and the largest sizes."""
    names = ("accuracy", "accuracy_seen", "accuracy_unseen", "log_loss", "calibration_error")
    means = {name: round(model[name]["mean"], 3) for name in names if model[name] is not None}
    lost = teacher["accuracy"]["mean"] - model["accuracy"]["mean"]
    sizes = {name: model["size"][name] for name in ("counted_bytes", "macs")}
    return {**means, "accuracy_lost": round(lost, 3), **sizes}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
