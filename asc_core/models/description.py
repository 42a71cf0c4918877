"""What a file says of the network in it, held to bounds before any memory is taken for it.

A description is JSON of the form {"network": fields of `NetworkConfig`, "labels": [...], ...}. It comes from the same
hands as the weights, so it is believed no more than they are.
"""

import json
from typing import Any

import torch
from torch import Tensor, nn

from asc_core.errors import UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

LABELS = 500  # most classes of a network
LABEL = 200  # most characters of the name of one
HEADER = 1 << 20  # most bytes of a safetensors header, far above those of these networks


def parse(text: str | bytes) -> dict[str, Any]:
    """The description in a JSON text.

    Raises:
        ValueError: it is no mapping in JSON, or holds a number that is not finite.
    """
    description = json.loads(text)
    if not isinstance(description, dict):
        raise ValueError("its description is not a mapping")
    json.dumps(description, allow_nan=False)  # Python reads NaN and 1e999, which are no numbers
    return description


def network_of(description: dict[str, Any]) -> tuple[NetworkConfig, int]:
    """Which network is described, and how many classes it has.

    Raises:
        UserError: there is no such network, or its labels are not up to `LABELS` different texts.
        LookupError, TypeError: something is missing or of another kind.
    """
    labels = description["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, str) and len(label) <= LABEL for label in labels):
        raise UserError(f"its labels are not a list of texts of up to {LABEL} characters")
    if not 1 <= len(set(labels)) == len(labels) <= LABELS:
        raise UserError(f"its labels are not from 1 to {LABELS} different ones")
    return NetworkConfig(**description["network"]), len(labels)


def outline(config: NetworkConfig, classes: int) -> nn.Module:
    """The network that `networks.build` would build, with tensors that have a shape and a type and take no memory."""
    with torch.device("meta"):
        return build(config, classes)


def check_finite(state: dict[str, Tensor]) -> None:
    """Hold the numbers of a network to being numbers.

    Raises:
        UserError: one is infinite or not a number; the line names its tensor.
    """
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise UserError(f"{name} holds a value that is not finite")
