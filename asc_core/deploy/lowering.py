"""A deployed network in the words of other runtimes: what their converters cannot express, or compute slowly."""

import copy

import torch
from torch import Tensor, nn

from asc_core.compression.quantize import Affine
from asc_core.models.norm import FixedPCEN, ResidualNorm, StepwiseResidualNorm


def lowered(network: nn.Module, frames: int) -> nn.Module:
    """A copy with what the exporter cannot express, or ONNX Runtime computes slowly, in other words."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ResidualNorm):
                setattr(module, name, StepwiseResidualNorm(child))
            elif isinstance(child, FixedPCEN):
                setattr(module, name, _FixedPCEN(child, frames))
            elif isinstance(child, Affine):
                setattr(module, name, _batch_norm(child))
    return network


class _FixedPCEN(nn.Module):
    """`FixedPCEN` for a number of frames: its recursion over time, solved, is one matrix product.

    M[t] = (1 - b)^(t + 1) + sum over s <= t of b (1 - b)^(t - s) E[s]
    """

    def __init__(self, pcen: FixedPCEN, frames: int) -> None:
        super().__init__()
        b = float(pcen.smoothing)
        frame = torch.arange(frames, dtype=torch.float64)
        age = frame - frame[:, None]  # (s, t)
        self.weights = torch.where(age >= 0, b * (1 - b) ** age, 0.0).float()
        self.start = ((1 - b) ** (frame + 1)).float()

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.exp(x + FixedPCEN.LOG_SCALE)
        smooth = energy @ self.weights + self.start
        level = energy * torch.pow(smooth + FixedPCEN.EPS, -FixedPCEN.GAIN) + FixedPCEN.BIAS
        return torch.pow(level, FixedPCEN.POWER) - FixedPCEN.BIAS**FixedPCEN.POWER


def _batch_norm(affine: Affine) -> nn.BatchNorm2d:
    """An `Affine` as the one operator that scales and shifts at once, and that goes into a convolution before it."""
    norm = nn.BatchNorm2d(len(affine.scale), eps=0.0)  # of mean 0 and variance 1
    with torch.no_grad():
        norm.weight.copy_(affine.scale)
        norm.bias.copy_(affine.shift)
    return norm.eval()
