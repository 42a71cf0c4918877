"""Checkpoints: weights as safetensors, with a JSON description in the header that is enough to rebuild the network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build


def save(path: Path, network: nn.Module, config: NetworkConfig, labels: list[str], **more: Any) -> None:
    """Write the state of `network` to `path`, atomically; `more` is JSON that goes into the description."""
    from safetensors.torch import save_file

    description = {"network": asdict(config), "labels": labels, **more}
    with replacing(path) as temporary:
        save_file(contiguous(network.state_dict()), temporary, metadata={"asc": json.dumps(description)})


def load(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint, in evaluation mode, and its description.

    Raises:
        UserError: the file is missing, is no checkpoint of this library, or does not fit its own description.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["asc"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        network = build(NetworkConfig(**description["network"]), len(description["labels"]))
        network.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; run the stage that makes it") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not a checkpoint of this pipeline ({str(error).splitlines()[0]})") from None
    return network.eval(), description


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors takes them: detached, contiguous, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
