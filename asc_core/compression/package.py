"""The file that ships: a deployed network with all that is needed to use it, compressed.

Layout: the magic bytes, the SHA-256 of the rest, and an LZMA stream of a safetensors file. Its header holds the
description (network, labels, features and whatever the maker adds); its tensors are those of the network, all of a type
joined in the network's order and taken apart into what compresses well (`_join`). How many there are of each follows
from the network that is described, so reading executes nothing, trusts no length that the file states, and unpacks no
more than that network needs.
"""

import hashlib
import json
import lzma
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asc_core.compression.quantize import deploy
from asc_core.errors import ILL_MADE, UserError, reason
from asc_core.files import read_bytes, replacing
from asc_core.models.config import NetworkConfig
from asc_core.models.description import HEADER, check_finite, network_of, outline, parse
from asc_core.models.networks import build
from asc_core.models.norm import GlobalFreqNorm

MAGIC = b"ASC1"
DIGEST = 32
PARTS = {"nonzero": "uint8", "weights": "int8", "halves": "uint8", "floats": "float32"}  # types, little-endian
MOST = 1 << 24  # bytes of a package, far above any model of this kind
ENTRIES = 1 << 24  # most numbers in the tensors of a network: zeros take almost nothing in a package, but do unpacked
BANDS = 1 << 12  # most bands that an input layer has statistics of
MEMORY = 1 << 26  # bytes that unpacking may take; the dictionary is no larger than what it unpacks to


def write(path: Path, network: nn.Module, config: NetworkConfig, labels: list[str], **more: Any) -> None:
    """Write a deployed network to `path`, atomically; `more` is JSON that goes into the description.

    Raises:
        UserError: `read` would refuse the package, whose labels, or network, are beyond its bounds.
    """
    from safetensors.numpy import save

    description = {"network": asdict(config), "labels": labels, **more}
    network_of(description)
    check_finite(network.state_dict())
    _check_entries(network)
    state = [tensor.cpu().numpy().ravel() for tensor in network.state_dict().values()]
    content = save(_join(state), metadata={"asc": json.dumps(description)})
    how = {"preset": 9 | lzma.PRESET_EXTREME, "dict_size": max(4096, len(content)), "lc": 0, "lp": 0, "pb": 0}
    payload = lzma.compress(content, format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, **how}])
    with replacing(path) as temporary:
        temporary.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)


def _join(state: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Flat arrays of one network as a few: weights as a bit each for zero or not and the non-zero ones, halves as a
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


def _split(joined: dict[str, np.ndarray], network: nn.Module) -> dict[str, torch.Tensor]:
    """The inverse of `_join`: the state of a network of the given structure.

    Raises:
        ValueError: there are more or fewer numbers than the network has, or they are of other types.
        LookupError: a part is missing.
    """
    for name, kind in PARTS.items():
        if joined[name].dtype != kind:
            raise ValueError(f"its {name} are of type {joined[name].dtype}, not {kind}")
    if isinstance(network.input, GlobalFreqNorm):  # how many bands there are is known to the numbers alone
        bands = joined["floats"].size // 2
        network.input.fit(torch.zeros(bands), torch.ones(bands), 1.0)
    state = network.state_dict()
    counts = _counts(network)
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
    split = {}
    for name, tensor in state.items():
        start, end = at[tensor.dtype], at[tensor.dtype] + tensor.numel()
        split[name] = torch.from_numpy(parts[tensor.dtype][start:end].copy()).to(tensor.dtype).reshape(tensor.shape)
        at[tensor.dtype] = end
    return split


def read(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The deployed network in a package, ready to predict, and its description.

    Raises:
        UserError: the file is missing, foreign, damaged or too large, does not fit its own description, or holds a
            number that is not finite.
    """
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


def _unpack(payload: memoryview) -> tuple[nn.Module, dict[str, Any]]:
    """What `read` returns, from the LZMA stream."""
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
    _check_entries(expected)
    tensors = unpacker.decompress(b"", max_length=_most_bytes(expected))
    state = _split(load(length + header + tensors), expected)
    check_finite(state)
    network = build(config, classes)
    deploy(network)
    network.load_state_dict(state)
    return network, description


def _counts(network: nn.Module) -> dict[torch.dtype, int]:
    """How many numbers of each type a deployed network has."""
    counts = dict.fromkeys((torch.int8, torch.float16, torch.float32), 0)
    for tensor in network.state_dict().values():
        counts[tensor.dtype] += tensor.numel()
    return counts


def _most_bytes(network: nn.Module) -> int:
    """What the tensors of a package of a network with this structure take, where none of its weights is zero."""
    counts = _counts(network)
    floats = counts[torch.float32] + (2 * BANDS if isinstance(network.input, GlobalFreqNorm) else 0)
    return -(-counts[torch.int8] // 8) + counts[torch.int8] + 2 * counts[torch.float16] + 4 * floats


def _check_entries(network: nn.Module) -> None:
    entries = sum(_counts(network).values())
    if entries > ENTRIES:
        raise UserError(f"a network of {entries:,} numbers, a package holds up to {ENTRIES:,}")
