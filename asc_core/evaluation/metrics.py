"""Accuracy and log loss: overall, by device, by scene, on devices that training had and on those it never heard."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from asc_core.errors import UserError

if TYPE_CHECKING:  # tables of predictions are judged without torch, whose import takes longer than that
    from torch import Tensor, nn

    from asc_core.features.store import FeatureStore

LEAST = 1e-15  # a probability counts as at least this, so that a sure and wrong answer costs 34.5 and not infinity
BINS = 15  # of equal width, as calibration errors are most often given


def score(network: "nn.Module", store: "FeatureStore", split: str = "test") -> tuple["Tensor", dict[str, Any]]:
    """Logits (clips, classes) for a split, on a GPU where there is one, and their metrics (`metrics_of`).

    Raises:
        UserError: there are no such clips.
    """
    import torch

    from asc_core.models.inference import predict

    rows = store.rows(split)
    if not len(rows):
        raise UserError(f"{store.folder}: the split {split} has no clips")
    logits = predict(network.to("cuda" if torch.cuda.is_available() else "cpu"), store, rows)
    network.cpu()
    return logits, metrics_of(logits, store, rows)


def metrics_of(logits: "Tensor", store: "FeatureStore", rows: np.ndarray) -> dict[str, Any]:
    """The metrics of the challenge for the logits (rows, classes) of some rows of a store.

    Returns:
        accuracy: percent, the mean over the scenes of the accuracy on each scene's clips (macro), as the challenge has
            it. Likewise accuracy_seen and accuracy_unseen, on devices that the training split has and on those it has
            not (None where the rows have no such device), and accuracy_by_device; each over the scenes that those clips
            are of.
        accuracy_micro: percent of all clips; the same where every scene has as many.
        accuracy_by_scene: percent of each scene's clips.
        log_loss: what the challenge ranks by, the mean over the clips (`log_losses`); log_loss_by_device.
        calibration_error: percent, how far confidence is from accuracy (`calibration_error`).
    """
    clips = store.clips.iloc[rows]
    probabilities, labels = logits.double().softmax(dim=1).numpy(), store.labels[rows].numpy()
    table = judge(probabilities, labels, clips)
    unseen = table["device"].isin(store.unseen)
    by_device = table.groupby("device")
    return {
        "accuracy": accuracy(table),
        "accuracy_micro": float(table["right"].mean()),
        "log_loss": float(table["log_loss"].mean()),
        "calibration_error": calibration_error(probabilities, labels),
        "accuracy_seen": accuracy(table[~unseen]),
        "accuracy_unseen": accuracy(table[unseen]),
        "accuracy_by_device": {device: accuracy(part) for device, part in by_device},
        "log_loss_by_device": by_device["log_loss"].mean().to_dict(),
        "accuracy_by_scene": table.groupby("scene")["right"].mean().to_dict(),
    }


def judge(probabilities: np.ndarray, labels: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    """Scene and device of `clips`, and what each answer is worth: `right` (0 or 100) and `log_loss`.

    Args:
        probabilities: (clips, classes) float64.
        labels: (clips,) column of the right answer.
    """
    right = 100.0 * (probabilities.argmax(axis=1) == labels)
    return clips[["scene", "device"]].assign(right=right, log_loss=log_losses(probabilities, labels))


def accuracy(table: pd.DataFrame) -> float | None:
    """The mean over the scenes of the accuracy on each, in percent, of clips as `judge` returns them; None of none."""
    return float(table.groupby("scene")["right"].mean().mean()) if len(table) else None


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Minus the natural logarithm of the probability of the right answer, (clips,), as the challenge computes it.

    Probabilities are taken from `LEAST` to 1 - `LEAST` and then brought to a sum of 1 again.
    """
    bounded = probabilities.clip(LEAST, 1 - LEAST)
    right = np.take_along_axis(bounded, labels[:, None], axis=1)[:, 0]
    return np.log(bounded.sum(axis=1)) - np.log(right)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error, in percent: how far confidence and accuracy are apart, averaged over the clips.

    Confidence is the largest probability; clips are taken together whose confidence is in the same of `BINS` bins (Guo
    et al., "On calibration of modern neural networks", arXiv 1706.04599, equation 3).
    """
    gaps = probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels)
    return float(100 * np.abs(np.bincount(confidence_bins(probabilities), gaps)).sum() / len(labels))


def confidence_bins(probabilities: np.ndarray) -> np.ndarray:
    """(clips,) the bin, from 0, of each clip's confidence: bin m is from m / `BINS`, exclusive, to (m + 1) / `BINS`."""
    return (np.ceil(probabilities.max(axis=1) * BINS).astype(int) - 1).clip(0, BINS - 1)
