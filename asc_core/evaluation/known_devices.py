"""Networks of known devices: each clip is heard by that of its device, and of any other device by the general one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asc_core.evaluation.measure import cost
from asc_core.evaluation.metrics import metrics_of
from asc_core.features.store import FeatureStore
from asc_core.models.inference import predict


def measure_devices(
    general: Tensor, devices: Mapping[str, nn.Module], store: FeatureStore
) -> tuple[Tensor, dict[str, Any]]:
    """Logits (clips, classes) for the test split and their metrics, as `measure` has them of one network.

    The size is the largest of any device's network, number by number: the rules hold each of them to a limit.

    Args:
        general: the logits of the general network.
        devices: at least one.
    """
    rows = store.rows("test")
    device_of, logits = store.clips["device"].to_numpy()[rows], general.clone()
    for device, network in devices.items():
        own = np.flatnonzero(device_of == device)
        if len(own):
            logits[own] = predict(network.to("cuda" if torch.cuda.is_available() else "cpu"), store, rows[own])
            network.cpu()
    sizes = [cost(network, (1, *store.array.shape[1:])) for network in devices.values()]
    largest = {name: max(size[name] for size in sizes) for name in sizes[0]}
    return logits, {**metrics_of(logits, store, rows), "size": largest}
