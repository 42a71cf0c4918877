"""What a network reaches, and what it costs."""

from typing import Any

from torch import Tensor, nn

from asc_core.compression.size import storage, totals
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.models.macs import costs


def measure(network: nn.Module, store: FeatureStore) -> tuple[Tensor, dict[str, Any]]:
    """Logits (clips, classes) for the test split, their metrics (`score`), and in them `size`: parameters and costs."""
    logits, metrics = score(network, store)
    return logits, {**metrics, "size": cost(network, (1, *store.array.shape[1:]))}


def cost(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """What the rules count of a network: parameters, bytes, and multiply-accumulates of a clip (1, mel, frame)."""
    return {**totals(network), **storage(network), **costs(network, shape)}
