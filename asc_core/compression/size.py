"""What the challenge counts: the account of a network, tensor by tensor. What it is held to is in `rules`."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asc_core.compression.expose import parameter_bytes


@dataclass(frozen=True)
class TensorSize:
    """One line of the account."""

    name: str
    parameters: int
    nonzero: int
    bits: int

    @property
    def counted_bytes(self) -> int:
        return self.nonzero * self.bits // 8


def account(network: nn.Module) -> list[TensorSize]:
    """The size of every tensor that the rule counts, in the network's order.

    These are a network's parameters, and all else that it holds, whether it says that it is one or not: in a deployed
    network its 8-bit weights and half-precision scales and shifts. Not counted: the input's mean and deviation, which
    belong to the feature extractor, and the running statistics of a network that is still trained, which deployment
    folds into the scales and shifts.
    """
    counted: dict[str, Tensor] = dict(network.named_parameters())
    for prefix, module in network.named_modules():
        if "input" not in prefix.split(".") and not isinstance(module, _BatchNorm):
            counted.update(
                {f"{prefix}.{name}".lstrip("."): tensor for name, tensor in module.named_buffers(recurse=False)}
            )
    return [
        TensorSize(name, tensor.numel(), int(tensor.count_nonzero()), tensor.element_size() * 8)
        for name, tensor in counted.items()
    ]


def totals(network: nn.Module) -> dict[str, int]:
    """Sums of the account: `parameters`, `nonzero_parameters`, `counted_bytes`, and `weight_bits`, the most bits that a
    convolution weight has."""
    rows = account(network)
    return {
        "parameters": sum(row.parameters for row in rows),
        "nonzero_parameters": sum(row.nonzero for row in rows),
        "counted_bytes": sum(row.counted_bytes for row in rows),
        "weight_bits": max(row.bits for row in rows if row.name.endswith("weight")),
    }


def storage(network: nn.Module) -> dict[str, int]:
    """Bytes with zeros counted, entries times those of their type: `parameter_bytes` by the account, and by what the
    organisers count of it, `parameter_bytes_torch`."""
    counted = sum(row.parameters * row.bits // 8 for row in account(network))
    return {"parameter_bytes": counted, "parameter_bytes_torch": parameter_bytes(network)}


def as_json(rows: list[TensorSize]) -> list[dict[str, Any]]:
    """The account for programs."""
    return [{**asdict(row), "counted_bytes": row.counted_bytes} for row in rows]
