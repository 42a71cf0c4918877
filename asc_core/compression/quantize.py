"""Convolution weights in 8 bit, everything else in half precision: training with it, and the network that ships.

A deployed network consists of `QuantConv2d` (8-bit weights, no scale of its own) and `Affine` (a half-precision scale
and shift). Batch normalisation in evaluation mode is a scale and a shift, so it becomes an `Affine`, and the scales of
the 8-bit weights before it are multiplied into it: they cost nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from asc_core.errors import UserError
from asc_core.models.norm import SubSpectralNorm

LEVELS = 127  # symmetric 8 bit: zero is exact, so a pruned weight stays zero
UNIT = 128  # an 8-bit weight q means q / 128, which keeps the folded scales well inside half precision's range
TOLERANCE = 0.05  # of an Affine's output: more than this is not rounding but a number out of range


class FakeQuantize(nn.Module):
    """Weights rounded to 8 bit with a scale for each output channel; gradients pass as if they were not (1308.3432)."""

    def forward(self, weight: Tensor) -> Tensor:
        scale = channel_scale(weight)
        return weight + (torch.round(weight / scale) * scale - weight).detach()


def channel_scale(weight: Tensor) -> Tensor:
    """The step between 8-bit levels of each output channel: (out, 1, 1, 1), from weights (out, in, height, width)."""
    return weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12) / LEVELS


def start_quantized_training(network: nn.Module) -> None:
    """Make every convolution compute with 8-bit weights while its full-precision weights go on learning."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            parametrize.register_parametrization(module, "weight", FakeQuantize())


class QuantConv2d(nn.Module):
    """A convolution with 8-bit weights q, each meaning q / 128, and no bias."""

    weight: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros_like(conv.weight, dtype=torch.int8))
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) / UNIT
        return functional.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)


class Affine(nn.Module):
    """scale * x + shift for each channel, both in half precision."""

    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float16))
        self.register_buffer("shift", torch.zeros(channels, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.to(x.dtype).reshape(-1, 1, 1) + self.shift.to(x.dtype).reshape(-1, 1, 1)

    @torch.no_grad()
    def set(self, scale: Tensor, at: Tensor, spread: Tensor, value: Tensor) -> None:
        """Become the line through (at, value) with slope `scale`, all (channels,), as nearly as half precision allows.

        Rounding scale and shift each for itself would not do: where a channel hardly varies (pruning makes many such),
        scale * x and shift are large and nearly cancel, and what is left of them is mostly rounding. So the slope is
        taken, among the half-precision numbers next to the exact one, as the one with the least error over inputs
        from at - spread to at + spread.

        Raises:
            UserError: no pair of half-precision numbers comes near the line.
        """
        limit = torch.finfo(torch.float16).max
        scale, at, spread, value = scale.double(), at.double(), spread.double(), value.double()
        near = scale * torch.linspace(1 - 2**-7, 1 + 2**-7, 65, dtype=torch.float64)[:, None]
        slopes = near.clamp(-limit, limit).half()  # (candidate, channel)
        exact = value - slopes.double() * at
        shifts = exact.clamp(-limit, limit).half()
        error = (shifts.double() - exact).abs() + (slopes.double() - scale).abs() * spread
        least, best = error.min(dim=0, keepdim=True)
        if not (least < TOLERANCE * (value.abs() + (scale * spread).abs() + 1)).all():
            worst = int(least.argmax())
            raise UserError(
                f"quantize: a folded scale of {scale[worst]:.3g} through ({at[worst]:.3g}, {value[worst]:.3g}) "
                "does not fit half precision; train with a lower learning_rate"
            )
        self.scale.copy_(slopes.gather(0, best)[0])
        self.shift.copy_(shifts.gather(0, best)[0])


def quantize(network: nn.Module) -> None:
    """Turn a trained network, in place, into the one that ships; what it computes from then on is what ships.

    Raises:
        UserError: a folded scale and shift do not fit half precision.
    """
    for conv, norm, packed, affine in _fold(network):
        weight = conv.weight.detach()
        step = channel_scale(weight)
        packed.weight.copy_(torch.round(weight / step).to(torch.int8))
        scale = step.flatten() * UNIT
        bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.detach()
        if norm is None:
            affine.set(scale, at=torch.zeros_like(scale), spread=torch.ones_like(scale), value=bias)
            continue
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None  # these networks track them
        per_channel = norm.num_features // len(scale)  # a sub-spectral norm has several for each channel
        scale, bias = scale.repeat_interleave(per_channel), bias.repeat_interleave(per_channel)
        deviation = (variance + norm.eps).sqrt()
        gain = norm.weight.detach() / deviation
        # A channel whose weights are all pruned puts out its bias and nothing else, whatever its old statistics say.
        dead = (packed.weight.flatten(1) == 0).all(dim=1).repeat_interleave(per_channel)
        center = torch.where(dead, bias, mean)
        affine.set(
            scale * gain,
            at=(center - bias) / scale,
            spread=2 * torch.where(dead, 0, variance.sqrt()) / scale,
            value=norm.bias.detach() + gain * (center - mean),
        )
    network.eval()


def deploy(network: nn.Module) -> None:
    """Give a freshly built network, in place, the structure that `quantize` leaves, ready to load its state."""
    _fold(network)
    network.eval()


def _fold(
    network: nn.Module,
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None, QuantConv2d, Affine]]:
    """Replace each convolution and the batch normalisation behind it, if any; return the old and the new modules.

    Order within an `nn.Sequential` is order of computation, and every normalised convolution of these networks stands
    in one, right before its norm.
    """
    replaced = []
    for module in list(network.modules()):
        children = list(module.named_children())
        for place, (name, conv) in enumerate(children):
            if not isinstance(conv, nn.Conv2d):
                continue
            norm_name, norm = children[place + 1] if place + 1 < len(children) else ("", None)
            holder = module
            if isinstance(norm, SubSpectralNorm):
                holder, norm_name, norm = norm, "norm", norm.norm
            packed = QuantConv2d(conv)
            if isinstance(module, nn.Sequential) and isinstance(norm, nn.BatchNorm2d):
                affine = Affine(norm.num_features)
                setattr(module, name, packed)
                setattr(holder, norm_name, affine)
            else:
                norm, affine = None, Affine(conv.out_channels)
                setattr(module, name, nn.Sequential(packed, affine))
            replaced.append((conv, norm, packed, affine))
    return replaced
