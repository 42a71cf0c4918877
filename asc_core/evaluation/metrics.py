"""Accuracy and log loss: overall, by device, by scene, on devices that training had and on those it never heard."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.features.store import FeatureStore
from asc_core.models.inference import predict


def score(network: nn.Module, store: FeatureStore) -> tuple[Tensor, dict[str, Any]]:
    """Logits (clips, classes) for the test split, on a GPU where there is one, and what `measure` says of them."""
    rows = store.rows("test")
    logits = predict(network.to("cuda" if torch.cuda.is_available() else "cpu"), store, rows)
    network.cpu()
    return logits, measure(logits, store, rows)


def measure(logits: Tensor, store: FeatureStore, rows: np.ndarray) -> dict[str, Any]:
    """The metrics of the challenge for the logits (rows, classes) of some rows of a store.

    Returns:
        accuracy, accuracy_seen, accuracy_unseen (percent; None where the rows have no such device), log_loss (natural
        logarithm, what the challenge ranks by), and by device or scene: accuracy_by_device, log_loss_by_device,
        accuracy_by_scene.
    """
    labels = store.labels[rows]
    clips = store.clips.iloc[rows]
    table = clips[["device", "scene"]].assign(
        accuracy=100.0 * (logits.argmax(dim=1) == labels).numpy(),
        log_loss=functional.cross_entropy(logits.double(), labels, reduction="none").numpy(),
    )
    unseen = table["device"].isin(store.unseen)

    def mean(values: Any) -> float | None:
        return float(values.mean()) if len(values) else None

    by_device, by_scene = table.groupby("device"), table.groupby("scene")
    return {
        "accuracy": mean(table["accuracy"]),
        "log_loss": mean(table["log_loss"]),
        "accuracy_seen": mean(table["accuracy"][~unseen]),
        "accuracy_unseen": mean(table["accuracy"][unseen]),
        "accuracy_by_device": by_device["accuracy"].mean().to_dict(),
        "log_loss_by_device": by_device["log_loss"].mean().to_dict(),
        "accuracy_by_scene": by_scene["accuracy"].mean().to_dict(),
    }
