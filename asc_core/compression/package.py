"""The file that ships: a deployed network with all that is needed to use it, compressed.

Layout: the magic bytes, the SHA-256 of the rest, and an LZMA stream of a safetensors file whose header holds the
description (network, labels, features). Reading it executes nothing and trusts no length that the file states.
"""

import hashlib
import json
import lzma
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from asc_core.compression.quantize import deploy
from asc_core.config import NetworkConfig
from asc_core.errors import UserError
from asc_core.files import replacing
from asc_core.models import build
from asc_core.models.checkpoint import contiguous

MAGIC = b"ASC1"
DIGEST = 32
MOST = 1 << 24  # bytes of a package, far above any model of this kind
MOST_UNPACKED = 1 << 22  # bytes that its tensors may take, or
EXPANSION = 8  # times the size of the package where that is more


def write(path: Path, network: nn.Module, config: NetworkConfig, labels: list[str], **more: Any) -> None:
    """Write a deployed network to `path`, atomically; `more` is JSON that goes into the description."""
    from safetensors.torch import save

    description = {"network": asdict(config), "labels": labels, **more}
    payload = lzma.compress(
        save(contiguous(network.state_dict()), metadata={"asc": json.dumps(description)}),
        format=lzma.FORMAT_ALONE,
        filters=[{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}],
    )
    with replacing(path) as temporary:
        temporary.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)


def read(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The deployed network in a package, ready to predict, and its description.

    Raises:
        UserError: the file is missing, foreign, damaged or too large.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if path.stat().st_size > MOST:
            raise UserError(f"{path}: larger than {MOST} bytes, not a package of this pipeline")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; the stage quantize makes it") from None
    digest, payload = data[len(MAGIC) : len(MAGIC) + DIGEST], data[len(MAGIC) + DIGEST :]
    if not data.startswith(MAGIC):
        raise UserError(f"{path}: not a package of this pipeline")
    if hashlib.sha256(payload).digest() != digest:
        raise UserError(f"{path}: damaged or incomplete; copy or build it again")
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=1 << 27)
        tensors = unpacker.decompress(payload, max_length=max(EXPANSION * len(payload), MOST_UNPACKED))
        header = json.loads(tensors[8 : 8 + int.from_bytes(tensors[:8], "little")])
        description = json.loads(header["__metadata__"]["asc"])
        network = build(NetworkConfig(**description["network"]), len(description["labels"]))
        deploy(network)
        state = load(tensors)
        if any(state[name].dtype != tensor.dtype for name, tensor in network.state_dict().items()):
            raise UserError("weights of another type than its network has")
        network.load_state_dict(state)
    except (
        UserError,
        SafetensorError,
        lzma.LZMAError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        EOFError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a usable package ({reason})") from None
    return network, description
