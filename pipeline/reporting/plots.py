"""Plots of results, as PNG files."""

from itertools import cycle
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
    devices = list(next(iter(summary.values()))["accuracy_by_device"])
    figure = _figure((1.5 + len(devices), 4))
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
        predictions: a row a clip: `scene`, and as its only columns of numbers the probability of each scene.
    """
    from sklearn.metrics import confusion_matrix

    scenes = sorted(predictions["scene"].unique())
    answers = predictions.select_dtypes("number").idxmax(axis=1)
    matrix = 100 * confusion_matrix(predictions["scene"], answers, labels=scenes, normalize="true")
    figure = _figure((2 + 0.6 * len(scenes), 1.5 + 0.6 * len(scenes)))
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


def seen_and_unseen(rows: dict[str, Any], path: Path) -> None:
    """Horizontal bars of the accuracy of several systems on seen and unseen devices, with the deviation over seeds.

    Args:
        rows: label to metrics, each `accuracy_seen` and `accuracy_unseen` as {"mean", "std", "n"} or None.
    """
    figure = _figure((8, 1.2 + 0.5 * len(rows)))
    axes = figure.subplots()
    at = np.arange(len(rows))[::-1]
    for offset, name in ((0.2, "seen"), (-0.2, "unseen")):
        cells = [row[f"accuracy_{name}"] or {"mean": 0.0, "std": 0.0} for row in rows.values()]
        axes.barh(
            at + offset, [c["mean"] for c in cells], 0.38, xerr=[c["std"] for c in cells], label=f"{name} devices"
        )  # fmt: skip
    axes.set_yticks(at, list(rows))
    axes.set_xlabel("accuracy (%)")
    axes.set_xlim(0, 100)
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.1), frameon=False)
    _write(figure, path)


def with_intervals(rows: list[dict[str, Any]], path: Path) -> None:
    """The accuracy of several systems on all, seen and unseen devices, as points with their intervals.

    Args:
        rows: each a system: `label`, and by metric `metrics` (percent) and `intervals` ([low, high] or None); a metric
            may be missing.
    """
    figure = _figure((8, 1.2 + 0.5 * len(rows)))
    axes = figure.subplots()
    at = np.arange(len(rows))[::-1]
    for offset, name in ((0.2, "accuracy"), (0, "accuracy_seen"), (-0.2, "accuracy_unseen")):
        found = [(row["metrics"].get(name, np.nan), row["intervals"].get(name)) for row in rows]
        values = np.array([value for value, _ in found])
        bounds = np.array([bounds or (value, value) for value, bounds in found])
        whiskers = [(values - bounds[:, 0]).clip(0), (bounds[:, 1] - values).clip(0)]
        label = "all devices" if name == "accuracy" else f"{name.removeprefix('accuracy_')} devices"
        axes.errorbar(values, at + offset, xerr=whiskers, fmt="o", markersize=4, lw=1, capsize=2, label=label)
    axes.set_yticks(at, [row["label"] for row in rows])
    axes.set_xlabel("accuracy (%), 95 % intervals")
    axes.grid(axis="x", lw=0.3)
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.1), frameon=False)
    _write(figure, path)


def accuracy_by_share(rows: list[dict[str, Any]], published: dict[str, dict[int, float]], path: Path) -> None:
    """Lines of accuracy over the share of the training data, with intervals; published figures are dashed.

    Args:
        rows: each a system: `label`, and `shares`: percent to {"accuracy": {"mean", "interval"}}.
        published: accuracy in percent by share, by label.
    """
    figure = _figure((8, 5))
    axes = figure.subplots()
    for row in rows:
        found = {int(share): each["accuracy"] for share, each in row["shares"].items()}
        values = np.array([each["mean"] for each in found.values()])
        bounds = np.array([each["interval"] or (each["mean"],) * 2 for each in found.values()])
        whiskers = [(values - bounds[:, 0]).clip(0), (bounds[:, 1] - values).clip(0)]
        axes.errorbar(list(found), values, yerr=whiskers, fmt="o-", markersize=4, lw=1, capsize=2, label=row["label"])
    for marker, (label, figures) in zip(cycle("s^vDx"), published.items(), strict=False):
        style = {"color": "gray", "marker": marker, "linestyle": "--", "markersize": 4, "lw": 0.8}
        axes.plot(list(figures), list(figures.values()), label=label, **style)
    ticks = sorted({int(share) for row in rows for share in row["shares"]})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick} %" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("share of the training data")
    axes.set_ylabel("accuracy (%), 95 % intervals")
    axes.grid(lw=0.3)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    _write(figure, path)


def scatter_by_device(
    points: dict[str, np.ndarray], accuracy: dict[str, float], devices: np.ndarray, path: Path
) -> None:
    """Embeddings side by side, a point a clip, coloured by device.

    Args:
        points: title to (clips, 2).
        accuracy: title to the accuracy in percent of the nearest neighbour's device.
        devices: (clips,) names.
    """
    from matplotlib import colormaps

    figure = _figure((6 * len(points), 5.5))
    colours = colormaps["tab10"]
    for axes, (title, embedded) in zip(np.atleast_1d(figure.subplots(1, len(points))), points.items(), strict=True):
        for number, device in enumerate(sorted(set(devices))):
            chosen = embedded[devices == device]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=8, color=colours(number % 10), label=device)
        axes.set_title(f"{title} statistics\nnearest neighbour has the same device: {accuracy[title]:.1f} %")
        axes.set_xticks([])
        axes.set_yticks([])
    axes.legend(markerscale=2, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _write(figure, path)


def _figure(size: tuple[float, float]) -> Any:
    """An empty figure of so many inches, whose texts hold no formulas: names may have a dollar sign."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False
    return Figure(figsize=size, layout="constrained")


def _write(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
