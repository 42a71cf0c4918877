"""Convolution weights in 8 bit, everything else in half precision: training with it, and the network that ships.

A deployed network consists of `QuantConv2d` (8-bit weights), `Affine` (a half-precision scale and shift for each
channel) and, in some, `GRN` with its two numbers in half precision. Batch normalisation in evaluation mode is a scale
and a shift, so it becomes an `Affine`, and the scales of the 8-bit weights before it are multiplied into it: they cost
nothing, so there is one for each output channel. A convolution without a norm has to store its scale, and has a single
one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from asc_core.errors import UserError
from asc_core.models.cp_mobile import GRN
from asc_core.models.norm import SubSpectralNorm

LEVELS = 127  # symmetric 8 bit: zero is exact, so a pruned weight stays zero
UNIT = 128  # an 8-bit weight q means q / 128, which keeps the scales well inside half precision's range
TOLERANCE = 0.05  # of an Affine's output: more than this is not rounding but a number out of range


class FakeQuantize(nn.Module):
    """Weights rounded to 8 bit, with a scale for each output channel or a single one; gradients pass as if they were
    not rounded (1308.3432)."""

    def __init__(self, per_channel: bool = True) -> None:
        super().__init__()
        self.per_channel = per_channel

    def forward(self, weight: Tensor) -> Tensor:
        step = step_size(weight, self.per_channel)
        return weight + (torch.round(weight / step) * step - weight).detach()


def step_size(weight: Tensor, per_channel: bool) -> Tensor:
    """The step between the 8-bit levels of weights (out, in, height, width): (out, 1, 1, 1) or (1, 1, 1, 1)."""
    over = (1, 2, 3) if per_channel else (0, 1, 2, 3)
    return weight.detach().abs().amax(dim=over, keepdim=True).clamp_min(1e-12) / LEVELS


def start_quantized_training(network: nn.Module) -> None:
    """Make every convolution compute with 8-bit weights while its full-precision weights go on learning."""
    for each in list(_convolutions(network)):
        parametrize.register_parametrization(each.conv, "weight", FakeQuantize(each.norm is not None))


def stop_quantized_training(network: nn.Module) -> None:
    """The inverse of `start_quantized_training`, in place: full-precision weights from which it can start anew."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


class QuantConv2d(nn.Module):
    """A convolution with 8-bit weights q, each meaning q / 128 where an `Affine` follows.

    On its own it has a half-precision scale (1,) that multiplies them and, if the convolution has one, a bias (out,).
    """

    weight: Tensor
    scale: Tensor | None
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, *, folded: bool) -> None:
        super().__init__()
        biased = conv.bias is not None and not folded
        # Not zeros_like: of a weight on the meta device, as when a package is read, it imports sympy, for a second.
        like = conv.weight
        zeros = torch.empty_strided(like.shape, like.stride(), dtype=torch.int8, device=like.device).zero_()
        self.register_buffer("weight", zeros)
        self.register_buffer("scale", None if folded else torch.ones(1, dtype=torch.float16))
        self.register_buffer("bias", torch.zeros(conv.out_channels, dtype=torch.float16) if biased else None)
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) / UNIT
        if self.scale is not None:
            weight = weight * self.scale.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class Affine(nn.Module):
    """scale * x + shift for each channel, both in half precision."""

    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float16))
        self.register_buffer("shift", torch.zeros(channels, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = (each.to(x.dtype).reshape(-1, 1, 1) for each in (self.scale, self.shift))
        return torch.addcmul(shift, x, scale)

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
                f"a folded scale of {scale[worst]:.3g} through ({at[worst]:.3g}, {value[worst]:.3g}) "
                "does not fit half precision; train with a lower learning rate"
            )
        self.scale.copy_(slopes.gather(0, best)[0])
        self.shift.copy_(shifts.gather(0, best)[0])


def quantize(network: nn.Module) -> None:
    """Turn a trained network, in place, into the one that ships; what it computes from then on is what ships.

    Raises:
        UserError: a folded scale and shift, the bias of a convolution, or a `GRN` do not fit half precision.
    """
    for each in list(_convolutions(network)):
        conv, norm = each.conv, each.norm
        packed, affine = each.replace()
        weight = conv.weight.detach()
        step = step_size(weight, per_channel=norm is not None)
        packed.weight.copy_(torch.round(weight / step).to(torch.int8))
        scale = step.flatten() * UNIT
        if norm is None or affine is None:
            assert packed.scale is not None
            packed.scale.copy_(scale)
            if packed.bias is not None and conv.bias is not None:
                packed.bias.copy_(conv.bias.detach())
            if not all(tensor.isfinite().all() for tensor in packed.buffers()):
                raise UserError(
                    "the weights or the bias of a convolution do not fit half precision; "
                    "train with a lower learning rate"
                )
            continue
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None  # these networks track them
        bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.detach()
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
    _halve(network)
    network.eval()


def deploy(network: nn.Module) -> None:
    """Give a freshly built network, in place, the structure that `quantize` leaves, ready to load its state."""
    for each in list(_convolutions(network)):
        each.replace()
    _halve(network)
    network.eval()


def _halve(network: nn.Module) -> None:
    """Give what is no convolution and no normalisation behind one the precision in which it ships."""
    for name, module in network.named_modules():
        if isinstance(module, GRN):
            for value in module.half().requires_grad_(False).parameters():
                if not value.is_meta and not value.isfinite():
                    raise UserError(f"{name}: a number does not fit half precision; train with a lower learning rate")


class _Convolution(NamedTuple):
    """A convolution and the batch normalisation behind it, if any, each with the module that holds it and its name."""

    holder: nn.Module
    name: str
    conv: nn.Conv2d
    norm_holder: nn.Module
    norm_name: str
    norm: nn.BatchNorm2d | None

    def replace(self) -> tuple[QuantConv2d, Affine | None]:
        """Put the modules that ship where these stand."""
        packed = QuantConv2d(self.conv, folded=self.norm is not None)
        setattr(self.holder, self.name, packed)
        if self.norm is None:
            return packed, None
        affine = Affine(self.norm.num_features)
        setattr(self.norm_holder, self.norm_name, affine)
        return packed, affine


def _convolutions(network: nn.Module) -> Iterator[_Convolution]:
    """Every convolution in the network's order.

    Order within an `nn.Sequential` is order of computation, and every normalised convolution of these networks stands
    in one, right before its norm.
    """
    for module in network.modules():
        children = list(module.named_children())
        for number, (name, conv) in enumerate(children):
            if not isinstance(conv, nn.Conv2d):
                continue
            ordered = isinstance(module, nn.Sequential) and number + 1 < len(children)
            norm_name, norm = children[number + 1] if ordered else ("", None)
            holder = module
            if isinstance(norm, SubSpectralNorm):
                holder, norm_name, norm = norm, "norm", norm.norm
            norm = norm if isinstance(norm, nn.BatchNorm2d) else None
            yield _Convolution(module, name, conv, holder, norm_name, norm)
