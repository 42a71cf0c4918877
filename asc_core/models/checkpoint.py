"""Checkpoints: weights as safetensors, with a JSON description in the header that is enough to rebuild the network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from asc_core.errors import ILL_MADE, UserError, reason
from asc_core.files import replacing
from asc_core.models.config import NetworkConfig
from asc_core.models.description import HEADER, check_finite, network_of, outline, parse
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
        UserError: the file is missing, is no checkpoint of this library, does not fit its own description, or holds a
            number that is not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as start:
            if int.from_bytes(start.read(8), "little") > HEADER:
                raise ValueError("its header is too long")
        with safe_open(path, framework="pt") as file:
            description = parse((file.metadata() or {})["asc"])
            config, classes = network_of(description)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict); not read yet
        _compare(outline(config, classes), state)
        network = build(config, classes)
        network.load_state_dict(state)
        check_finite(state)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, *ILL_MADE) as error:
        raise UserError(f"{path}: not a usable checkpoint ({reason(error)})") from None
    return network.eval(), description


def _compare(outline: nn.Module, state: dict[str, Tensor]) -> None:
    """Hold the tensors of a file to those of the network that it describes, by name, type and shape.

    Raises:
        ValueError: a name or a type differs.
        RuntimeError: a shape differs.
    """
    types = {name: tensor.dtype for name, tensor in outline.state_dict().items()}
    for name in sorted(types.keys() ^ state.keys()):
        raise ValueError(f"{name} is {'missing' if name in types else 'no tensor of the network that it describes'}")
    for name, dtype in types.items():
        if state[name].dtype != dtype:
            raise ValueError(f"{name} is of type {state[name].dtype}, not {dtype}")
    outline.load_state_dict({name: tensor.to("meta") for name, tensor in state.items()})


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors takes them: detached, contiguous, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
