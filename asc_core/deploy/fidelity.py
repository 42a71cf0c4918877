"""Whether an exported file answers as the network does that it was made from: both on the clips of a feature store."""

import numpy as np

from asc_core.deploy.predictor import Logits, softmax
from asc_core.features.store import FeatureStore


def answers(logits: Logits, store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    """The logits (rows, scenes) of a model that is ready to hear for some rows of a store, clip by clip."""
    return np.concatenate([logits(store.batch(rows[at : at + 1]).float().numpy()) for at in range(len(rows))])


def fidelity(exported: np.ndarray, network: np.ndarray) -> dict[str, float]:
    """How near the answers of a file are to those of the network.

    Args:
        exported: logits (clips, scenes).
        network: the same, up to a number for each clip: logarithms of probabilities will do.

    Returns:
        agreement: percent of the clips that get the same scene.
        probability_difference: the largest, of any clip and scene.
        logit_cosine: the mean over the clips of the cosine between the logits, each less its mean over the scenes,
            which no answer depends on.
    """
    one, other = (np.asarray(each, np.float64) for each in (exported, network))
    same = one.argmax(axis=1) == other.argmax(axis=1)
    centred = [each - each.mean(axis=1, keepdims=True) for each in (one, other)]
    lengths = np.prod([np.linalg.norm(each, axis=1) for each in centred], axis=0)
    cosine = (centred[0] * centred[1]).sum(axis=1) / np.maximum(lengths, np.finfo(float).tiny)
    return {
        "agreement": 100 * float(same.mean()),
        "probability_difference": float(np.abs(softmax(one) - softmax(other)).max()),
        "logit_cosine": float(cosine.mean()),
    }
