"""The file that ships: a deployed network with all that is needed to use it, compressed.

docs/package.md specifies it byte by byte. Layout: the magic bytes, the SHA-256 of the rest, and an LZMA stream of a
safetensors file. Its header holds the description (network, labels, features and whatever the maker adds); its tensors
are those of the network, all of a type joined in the network's order and taken apart into what compresses well
(`_join`). How many there are of each follows from the network that is described, so reading executes nothing, trusts no
length that the file states, and unpacks no more than that network needs.

A package may also hold networks that were tuned to devices, of the same structure. Of each it has only the tensors that
differ from the general network's, after those of the general one: the description names them, under `devices`, as
{device: [tensor, ...]}. A device that it does not name has the general network. The input layer, which belongs to the
features, is the same for all.

Of a network that was trained with activations in 8 bit (`activations`) the description has, under `activations`, the
step of each and the integer that means 0, as [step, zero] in the order in which they are computed; they are the same
for the networks of all devices. Whoever reads a package gets "int8" in their place.
"""

import copy
import hashlib
import json
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asc_core.compression import activations
from asc_core.compression.quantize import deploy
from asc_core.errors import ILL_MADE, UserError, reason
from asc_core.files import read_bytes, replacing
from asc_core.models.config import NetworkConfig
from asc_core.models.description import HEADER, LABEL, check_finite, network_of, outline, parse
from asc_core.models.networks import build
from asc_core.models.norm import GlobalFreqNorm, InputNorm

MAGIC = b"ASC1"
DIGEST = 32
PARTS = {"nonzero": "uint8", "weights": "int8", "halves": "uint8", "floats": "float32"}  # types, little-endian
MOST = 1 << 24  # bytes of a package, far above any model of this kind
ENTRIES = 1 << 24  # most numbers in the tensors of all networks: zeros take almost nothing here, but do unpacked
BANDS = 1 << 12  # most bands that an input layer has statistics of
MEMORY = 1 << 26  # bytes that unpacking may take; the dictionary is no larger than what it unpacks to
TRACED = 64  # bands and frames of a clip that every network takes
LEAST_STEP, MOST_STEP = 1e-12, 1e12  # of activations
DEVICES = 100  # most devices that a package has networks of

State = dict[str, Tensor]  # tensors of a network, or some of them, by name


def write(
    path: Path,
    network: nn.Module,
    config: NetworkConfig,
    labels: list[str],
    *,
    devices: Mapping[str, nn.Module] | None = None,
    **more: Any,
) -> None:
    """Write a deployed network to `path`, atomically; `more` is JSON that goes into the description.

    Args:
        devices: networks that were tuned to devices, by device; each of the structure of `network`.

    Raises:
        UserError: `read` would refuse the package, whose labels, devices, or networks, are beyond its bounds.
    """
    from safetensors.numpy import save

    state = network.state_dict()
    differences = {device: _difference(state, each.state_dict(), device) for device, each in (devices or {}).items()}
    description = {"network": asdict(config), "labels": labels, **more}
    if own := activations.of(network):
        description["activations"] = own.steps
    if differences:
        description["devices"] = {device: list(tensors) for device, tensors in differences.items()}
    network_of(description)
    _check_devices(description.get("devices", {}), state)
    for each in (state, *differences.values()):
        check_finite(each)
    _check_entries(state, len(differences))
    tensors = [*state.values(), *(tensor for each in differences.values() for tensor in each.values())]
    content = save(_join([tensor.cpu().numpy().ravel() for tensor in tensors]), {"asc": json.dumps(description)})
    how = {"preset": 9 | lzma.PRESET_EXTREME, "dict_size": max(4096, len(content)), "lc": 0, "lp": 0, "pb": 0}
    payload = lzma.compress(content, format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, **how}])
    with replacing(path) as temporary:
        temporary.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)


def _difference(general: State, tuned: State, device: str) -> State:
    """The tensors of a device's network that the general one has otherwise.

    Raises:
        UserError: the device's network is of another structure.
    """
    if [(name, each.shape, each.dtype) for name, each in general.items()] != [
        (name, each.shape, each.dtype) for name, each in tuned.items()
    ]:
        raise UserError(f"the network of the device {device!r} is of another structure than the general one")
    return {name: tensor for name, tensor in tuned.items() if not torch.equal(tensor, general[name])}


def _join(state: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Flat arrays of networks as a few: weights as a bit each for zero or not and the non-zero ones, halves as a
    plane of high and one of low bytes. Either part has regularities that are lost when they alternate."""
    weights, halves, floats = (
        np.concatenate([array for array in state if array.dtype == dtype] or [np.empty(0, dtype)])
        for dtype in (np.int8, np.float16, np.float32)
    )
    return {
        "nonzero": np.packbits(weights != 0),
        "weights": weights[weights != 0],
        "halves": np.ascontiguousarray(halves.astype("<f2").view(np.uint8).reshape(-1, 2).T[::-1]),
        "floats": floats.astype("<f4"),
    }


def _split(joined: dict[str, np.ndarray], tensors: list[Tensor]) -> list[Tensor]:
    """The inverse of `_join`: tensors of the given shapes and types.

    Raises:
        ValueError: there are more or fewer numbers than that, or they are of other types.
        LookupError: a part is missing.
    """
    counts = _counts(tensors)
    if joined["nonzero"].shape != (-(-counts[torch.int8] // 8),):
        raise ValueError("weights of another network than it describes")
    nonzero = np.unpackbits(joined["nonzero"], count=counts[torch.int8]).astype(bool)
    weights = np.zeros(len(nonzero), np.int8)
    if joined["weights"].shape != (nonzero.sum(),) or not joined["weights"].all():
        raise ValueError("its non-zero weights are not as many as it says")
    weights[nonzero] = joined["weights"]
    halves = np.ascontiguousarray(joined["halves"][::-1].T).view("<f2").ravel()
    parts = {torch.int8: weights, torch.float16: halves, torch.float32: joined["floats"]}
    for dtype, part in parts.items():
        if part.shape != (counts[dtype],):
            raise ValueError("weights of another network than it describes")
    at = dict.fromkeys(parts, 0)
    split = []
    for tensor in tensors:
        start, end = at[tensor.dtype], at[tensor.dtype] + tensor.numel()
        split.append(torch.from_numpy(parts[tensor.dtype][start:end].copy()).to(tensor.dtype).reshape(tensor.shape))
        at[tensor.dtype] = end
    return split


def read(path: Path, device: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A deployed network in a package, ready to predict, and its description.

    Args:
        device: whose network, where the package has one for it, which the entry `tuned_to` of the description then
            says. For any other, and for None, it is the general one.

    Raises:
        UserError: the file is missing, foreign, damaged or too large, does not fit its own description, or holds a
            number that is not finite.
    """
    network, differences, description = _read(path)
    if device in differences:
        network.load_state_dict({**network.state_dict(), **differences[device]})
        description["tuned_to"] = device
    return network, description


def read_devices(path: Path) -> tuple[nn.Module, dict[str, nn.Module], dict[str, Any]]:
    """The general network in a package, the network of each device that it has one of, and the description.

    Raises:
        UserError: as `read` does.
    """
    network, differences, description = _read(path)
    devices = {device: copy.deepcopy(network) for device in differences}
    for device, tensors in differences.items():
        devices[device].load_state_dict({**network.state_dict(), **tensors})
    return network, devices, description


def _read(path: Path) -> tuple[nn.Module, dict[str, State], dict[str, Any]]:
    """The general network, what each device's network has otherwise, and the description."""
    from safetensors import SafetensorError

    data = memoryview(read_bytes(path, MOST))
    digest, payload = data[len(MAGIC) : len(MAGIC) + DIGEST], data[len(MAGIC) + DIGEST :]
    if data[: len(MAGIC)] != MAGIC:
        raise UserError(f"{path}: not a package of this pipeline")
    if hashlib.sha256(payload).digest() != digest:
        raise UserError(f"{path}: damaged or incomplete; copy or build it again")
    try:
        return _unpack(payload)
    except (SafetensorError, lzma.LZMAError, *ILL_MADE) as error:
        raise UserError(f"{path}: not a usable package ({reason(error)})") from None


def _unpack(payload: memoryview) -> tuple[nn.Module, dict[str, State], dict[str, Any]]:
    """What `_read` returns, from the LZMA stream."""
    from safetensors.numpy import load

    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=MEMORY)
    length = unpacker.decompress(payload, max_length=8)
    if int.from_bytes(length, "little") > HEADER:
        raise ValueError("its header is too long")
    header = unpacker.decompress(b"", max_length=int.from_bytes(length, "little"))
    description = parse(json.loads(header)["__metadata__"]["asc"])
    config, classes = network_of(description)
    expected = outline(config, classes)
    with torch.device("meta"):
        deploy(expected)
    devices = description.pop("devices", {})
    _check_devices(devices, expected.state_dict())
    different = [name for names in devices.values() for name in names]
    _check_entries(expected.state_dict(), len(devices))
    joined = load(length + header + unpacker.decompress(b"", max_length=_most_bytes(expected, different)))
    for name, kind in PARTS.items():
        if joined[name].dtype != kind:
            raise ValueError(f"its {name} are of type {joined[name].dtype}, not {kind}")
    if isinstance(expected.input, GlobalFreqNorm):  # how many bands there are is known to the numbers alone
        bands = joined["floats"].size // 2
        expected.input.fit(torch.zeros(bands), torch.ones(bands), 1.0)
    tensors = iter(_split(joined, _tensors(expected, different)))
    state = dict(zip(expected.state_dict(), tensors, strict=False))
    differences = {device: dict(zip(names, tensors, strict=False)) for device, names in devices.items()}
    for each in (state, *differences.values()):
        check_finite(each)
    network = build(config, classes)
    deploy(network)
    network.load_state_dict(state)
    if "activations" in description:
        steps = _steps(description["activations"])
        bands = len(network.input.mean) if isinstance(network.input, InputNorm) else 1
        activations.attach(network, torch.zeros(1, 1, bands if bands > 1 else TRACED, TRACED), steps)
        description["activations"] = "int8"
    return network, differences, description


def _steps(found: Any) -> list[activations.Step]:
    """The steps of activations as a description has them.

    Raises:
        UserError: they are not numbers above zero with the integers of 8 bits that mean 0.
    """
    for each in found if isinstance(found, list) else [None]:
        if not (isinstance(each, list) and len(each) == 2 and all(type(number) in (int, float) for number in each)):
            raise UserError("the steps of its activations are no list of pairs of numbers")
        if not (LEAST_STEP <= each[0] <= MOST_STEP and each[1] in range(-128, 128)):
            raise UserError(f"no activation has the step {each[0]:g} with zero at {each[1]:g}")
    return [(float(step), int(zero)) for step, zero in found]


def _check_devices(devices: Any, state: State) -> None:
    """Hold what a description says of devices to what there may be.

    Raises:
        UserError: they are too many, their names are too long, or they name a tensor that no device has its own of.
    """
    own = {name for name in state if not name.startswith("input.")}
    if not isinstance(devices, dict) or len(devices) > DEVICES or any(len(device) > LABEL for device in devices):
        raise UserError(f"its devices are not up to {DEVICES} with names of up to {LABEL} characters")
    for device, names in devices.items():
        if not isinstance(names, list) or len(set(names)) != len(names) or not own.issuperset(names):
            raise UserError(f"the tensors of its device {device!r} are not some of those that a device has of its own")


def _tensors(network: nn.Module, different: list[str]) -> list[Tensor]:
    """Tensors like those in a package of `network` and of devices that differ in these."""
    state = network.state_dict()
    return [*state.values(), *(state[name] for name in different)]


def _counts(tensors: Iterable[Tensor]) -> dict[torch.dtype, int]:
    """How many numbers of each type that a deployed network has."""
    counts = dict.fromkeys((torch.int8, torch.float16, torch.float32), 0)
    for tensor in tensors:
        counts[tensor.dtype] += tensor.numel()
    return counts


def _most_bytes(network: nn.Module, different: list[str]) -> int:
    """What the tensors of a package of a network with this structure take, where none of its weights is zero."""
    counts = _counts(_tensors(network, different))
    floats = counts[torch.float32] + (2 * BANDS if isinstance(network.input, GlobalFreqNorm) else 0)
    return -(-counts[torch.int8] // 8) + counts[torch.int8] + 2 * counts[torch.float16] + 4 * floats


def _check_entries(state: State, devices: int) -> None:
    """Bound what the general network and those of so many devices take once they are all there."""
    entries = sum(_counts(state.values()).values())
    if entries * (1 + devices) > ENTRIES:
        others = f" and as many for each of {devices} devices" if devices else ""
        raise UserError(f"a network of {entries:,} numbers{others}, a package holds up to {ENTRIES:,}")
