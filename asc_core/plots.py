"""Plots of results, as PNG files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asc_core.files import replacing


def accuracy_by_device(summary: dict[str, Any], unseen: list[str], path: Path) -> None:
    """Bars of every network's accuracy on every device, with the standard deviation over seeds.

    Args:
        summary: for each network `accuracy_by_device`: device to {"mean", "std", "n"}.
        unseen: devices to mark as never heard in training.
    """
    from matplotlib.figure import Figure

    devices = list(next(iter(summary.values()))["accuracy_by_device"])
    figure = Figure(figsize=(1.5 + len(devices), 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(summary)
    for number, (name, model) in enumerate(summary.items()):
        cells = [model["accuracy_by_device"][device] for device in devices]
        at = np.arange(len(devices)) + (number - (len(summary) - 1) / 2) * width
        axes.bar(
            at, [c["mean"] for c in cells], width, yerr=[c["std"] for c in cells], label=name, error_kw={"lw": 0.8}
        )
    axes.set_xticks(range(len(devices)), [f"{device} *" if device in unseen else device for device in devices])
    axes.set_xlabel("device (* never heard in training)" if unseen else "device")
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 100)
    axes.legend(ncols=len(summary), loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)
    _write(figure, path)


def confusion(predictions: pd.DataFrame, path: Path) -> None:
    """The confusion matrix, in percent of each true scene's clips.

    Args:
        predictions: a row a clip: `filename`, `scene`, `device`, `model`, and a probability column for each scene.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    scenes = sorted(predictions["scene"].unique())
    answers = predictions.drop(columns=["filename", "scene", "device", "model"]).idxmax(axis=1)
    matrix = 100 * confusion_matrix(predictions["scene"], answers, labels=scenes, normalize="true")
    figure = Figure(figsize=(2 + 0.6 * len(scenes), 1.5 + 0.6 * len(scenes)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(scenes)), scenes, rotation=45, ha="right")
    axes.set_yticks(range(len(scenes)), scenes)
    axes.set_xlabel("answer")
    axes.set_ylabel("scene")
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column] >= 0.5:
            shade = "white" if matrix[row, column] > 50 else "black"
            axes.text(column, row, f"{matrix[row, column]:.0f}", ha="center", va="center", color=shade, fontsize=8)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
