"""The answers of a network to rows of a feature store."""

import numpy as np
import torch
from torch import Tensor, nn

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore


@torch.inference_mode()
def predict(network: nn.Module, store: FeatureStore, rows: np.ndarray, batch_size: int = 64) -> Tensor:
    """Logits of a network for rows of a store, in float32: (rows, classes) on the CPU.

    Raises:
        UserError: one of them is not finite.
    """
    network.eval()
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    parts = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    logits = torch.cat([network(store.batch(part).to(device).float()).float().cpu() for part in parts])
    if not logits.isfinite().all():
        clip = store.clips["filename"].iloc[rows[int(logits.isfinite().all(dim=1).int().argmin())]]
        raise UserError(f"{store.folder}: what the network answers to {clip} is not finite")
    return logits
