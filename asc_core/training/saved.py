"""The state of a training on disk: a safetensors file that only the training which wrote it takes up."""

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from asc_core.files import digest, replacing
from asc_core.models.checkpoint import contiguous
from asc_core.training.state import State

NETWORK, MOMENTUM = "network.", "momentum."


class Unusable(Exception):
    """A file that is no state of a training: damaged, or another one's. The text says what is wrong with it."""


def save(path: Path, state: State) -> None:
    """Write weights, momenta and epoch to `path`, atomically, with a checksum of them."""
    from safetensors.torch import save_file

    tensors = {NETWORK + name: tensor for name, tensor in state.network.state_dict().items()}
    for number, slot in state.optimizer.state_dict()["state"].items():
        if slot.get("momentum_buffer") is not None:
            tensors[f"{MOMENTUM}{number}"] = slot["momentum_buffer"]
    tensors = contiguous(tensors)
    epoch, job = str(state.epoch), digest(repr(state.job))
    metadata = {"epoch": epoch, "job": job, "checksum": checksum(tensors, epoch, job)}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def resume(path: Path, state: State) -> None:
    """Bring `state` to where it was when `save` wrote the file; where there is no file, it stays.

    Raises:
        Unusable: the file is damaged, or the state of another training; `state` is as it was.
    """
    if not path.exists():
        return
    tensors, metadata = _read(path, state)
    job = digest(repr(state.job))
    if metadata.get("job") != job:
        raise Unusable("it is of another training")
    epoch = metadata.get("epoch", "")
    if metadata.get("checksum") != checksum(tensors, epoch, job):
        raise Unusable("its checksum does not fit")
    if not (epoch.isascii() and epoch.isdecimal() and len(epoch) < 10 and int(epoch) <= state.job.schedule.epochs):
        raise Unusable("it does not say how far the training is")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise Unusable("it holds numbers that are not finite")
    state.network.load_state_dict(_below(NETWORK, tensors))
    description: dict[str, Any] = state.optimizer.state_dict()
    momenta = _below(MOMENTUM, tensors)
    description["state"] = {int(number): {"momentum_buffer": tensor} for number, tensor in momenta.items()}
    state.optimizer.load_state_dict(description)
    state.epoch = int(epoch)


def checksum(tensors: dict[str, Tensor], *more: str) -> str:
    """SHA-256 of tensors (contiguous, on the CPU) with their names, types and shapes, and of words beside them."""
    whole = hashlib.sha256(repr(more).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        whole.update(tensor.numpy().tobytes())
    return whole.hexdigest()


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(path: Path, state: State) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file whose tensors are like those of `state`."""
    from safetensors import SafetensorError, safe_open

    like = {NETWORK + name: tensor for name, tensor in state.network.state_dict().items()}
    needed = set(like)
    parameters = state.optimizer.param_groups[0]["params"]
    like |= {f"{MOMENTUM}{number}": parameter for number, parameter in enumerate(parameters)}
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            # Before a tensor is read: a foreign file can be of any size.
            if not needed <= names <= like.keys():
                raise Unusable("it is of another network")
            if any(file.get_slice(name).get_shape() != list(like[name].shape) for name in names):
                raise Unusable("it is of a network of another size")
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise Unusable(f"it cannot be read: {' '.join(str(error).split())}") from None
    if any(tensor.dtype != like[name].dtype for name, tensor in tensors.items()):
        raise Unusable("it holds numbers of another type")
    return tensors, metadata
