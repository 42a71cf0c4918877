"""The state of a training on disk: a safetensors file that only the training which wrote it takes up."""

import hashlib
from pathlib import Path

from torch import Tensor

from asc_core.files import digest, replacing
from asc_core.models.checkpoint import contiguous
from asc_core.training.optimizer import SQUARES, STEP, like, remembered
from asc_core.training.state import State

NETWORK, AVERAGES, OPTIMIZER = "network.", "averages.", "optimizer."


class Unusable(Exception):
    """A file that is no state of a training: damaged, or another one's. The text says what is wrong with it."""


def save(path: Path, state: State) -> None:
    """Write weights, their averages, what the optimiser has, and the epoch to `path`, atomically, with a checksum."""
    from safetensors.torch import save_file

    tensors = contiguous({**_weights(state), **_flat(remembered(state.optimizer))})
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
    slots = _slots(tensors, state, int(epoch))
    for name, tensor in _weights(state).items():
        tensor.copy_(tensors[name])
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": slots})
    state.epoch = int(epoch)


def _slots(tensors: dict[str, Tensor], state: State, epoch: int) -> dict[int, dict[str, Tensor]]:
    """What the optimiser has for each parameter after an epoch.

    Raises:
        Unusable: no optimiser has that.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(OPTIMIZER):
            parameter, name = key.removeprefix(OPTIMIZER).split(".")
            slots.setdefault(int(parameter), {})[name] = tensor
    whole = like(state.optimizer)
    for number, slot in slots.items():
        if slot.keys() != whole[number].keys():
            raise Unusable("it has not all that an optimiser needs")
        if STEP in slot and slot[STEP] != epoch * state.steps:
            raise Unusable("it does not say how far the optimiser is")
        if SQUARES in slot and (slot[SQUARES] < 0).any():
            raise Unusable("it holds squares below zero")
    return slots


def checksum(tensors: dict[str, Tensor], *more: str) -> str:
    """SHA-256 of tensors (contiguous, on the CPU) with their names, types and shapes, and of words beside them."""
    whole = hashlib.sha256(repr(more).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        whole.update(tensor.numpy().tobytes())
    return whole.hexdigest()


def _weights(state: State) -> dict[str, Tensor]:
    """The network's tensors themselves and their averages, by their names in the file."""
    averages = state.averages.tensors if state.averages else {}
    return {
        **{NETWORK + name: tensor for name, tensor in state.network.state_dict().items()},
        **{AVERAGES + name: tensor for name, tensor in averages.items()},
    }


def _flat(slots: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{OPTIMIZER}{number}.{name}": each for number, slot in slots.items() for name, each in slot.items()}


def _read(path: Path, state: State) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file whose tensors are like those of `state`."""
    from safetensors import SafetensorError, safe_open

    needed = _weights(state)
    known = {**needed, **_flat(like(state.optimizer))}
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            # Before a tensor is read: a foreign file can be of any size.
            if not needed.keys() <= names <= known.keys():
                raise Unusable("it is of another network")
            if any(file.get_slice(name).get_shape() != list(known[name].shape) for name in names):
                raise Unusable("it is of a network of another size")
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise Unusable(f"it cannot be read: {' '.join(str(error).split())}") from None
    if any(tensor.dtype != known[name].dtype for name, tensor in tensors.items()):
        raise Unusable("it holds numbers of another type")
    return tensors, metadata
