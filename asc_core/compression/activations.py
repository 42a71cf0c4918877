"""Activations in 8 bit: a network that rounds each of them as the file does that `asc export --int8` writes for LiteRT.

What an operator of that file leaves is an integer, so each result is rounded here to what such an integer can mean
(`torch.fake_quantize_per_tensor_affine`; gradients pass where nothing is cut off, arXiv 1712.05877, section 3). The
operators are those of the file: a normalisation and a ReLU go into the convolution before them, a mean of a mean is
one, and what only moves numbers or takes the largest keeps the step of what it takes. Three kinds of numbers are told
apart:

- `INT8`, all but the following;
- `INT16`, squares and their means;
- `EXACT`, 32-bit floats: what is computed of those means alone, such as the reciprocal of a deviation (ResNorm, GRN).

Networks need not know of it: `attach` follows the functions of torch that a forward pass calls, and counts those whose
result is rounded. So each has a place, and each place a step, which the file's tensor gets too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from asc_core.errors import UserError
from asc_core.models.norm import ResidualNorm, StepwiseResidualNorm

MOMENTUM = 0.1  # what a batch counts in the moving averages of the ranges
SIGMOID = (1 / 256, -128)  # the step that LiteRT has for numbers between 0 and 1

Step = tuple[float, int]  # between neighbouring integers, and the integer that means 0


class Kind(Enum):
    """How fine a number is: the largest integer that it can be."""

    INT8 = 127
    INT16 = 32767
    EXACT = 0


class Activations(nn.Module):
    """The ranges of a network's activations: moving averages of the extremes of batches while it learns (`least`,
    `most`, a number for each place), `steps` in one that ships.

    Attributes:
        kinds: of each place.
        steps: of each place; None while the network learns.
        rounds: whether activations are rounded.
        moves: whether the ranges follow the batches of a training.
    """

    least: Tensor
    most: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[Kind] = []
        self.steps: list[Step] | None = None
        self.rounds, self.moves = False, False

    @torch.no_grad()
    def follow(self, extremes: dict[int, tuple[Tensor, Tensor]], momentum: float = MOMENTUM) -> None:
        """Move the ranges towards the extremes of a batch at each place."""
        least, most = (torch.stack([extremes[place][end] for place in range(len(self.kinds))]) for end in (0, 1))
        self.least.lerp_(least, momentum)
        self.most.lerp_(most, momentum)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Steps and zeros of all places, from the ranges as they are."""
        wide = torch.tensor([kind is Kind.INT16 for kind in self.kinds], device=self.least.device)
        least, most = self.least.clamp_max(0), self.most.clamp_min(0)
        steps = torch.where(wide, torch.maximum(-least, most) / Kind.INT16.value, (most - least) / 255)
        steps = steps.clamp_min(1e-11)
        return steps, torch.where(wide, 0, (-128 - least / steps).round()).int()

    @torch.no_grad()
    def calibrate(self, network: nn.Module, batches: Iterable[Tensor]) -> None:
        """Have the ranges be the means of the extremes of batches (n, 1, mel, frame), not rounded; it ends in
        evaluation mode."""
        network.eval()
        for number, x in enumerate(batches, start=1):
            rounding = _Rounding(self, rounds=False, moves=True)
            rounding(network, x)
            self.follow(rounding.extremes, 1 / number)

    def divide(self, first: int, by: float) -> None:
        """Have the places from number `first` on be those of numbers that are smaller by a factor."""
        assert self.steps is not None
        self.steps[first:] = [(step / by, zero) for step, zero in self.steps[first:]]


class _Rounded(nn.Module):
    """What a network becomes an instance of beside its own class."""

    activations: Activations

    def forward(self, x: Tensor) -> Tensor:
        own = self.activations
        moves = own.moves and self.training
        if not own.rounds and not moves:
            return super().forward(x)
        rounding = _Rounding(own, own.rounds, moves)
        logits = rounding(self, x)
        if moves:
            own.follow(rounding.extremes)
        return logits


def of(network: nn.Module) -> Activations | None:
    """The activations of a network, if they are in 8 bit."""
    return network.activations if isinstance(network, _Rounded) else None


@torch.no_grad()
def attach(network: nn.Module, clips: Tensor, steps: list[Step] | None = None) -> Activations:
    """Have the activations of a network, in place, in 8 bit.

    Args:
        clips: (clips, 1, mel, frame), which show the places.
        steps: of each place, as `settle` left them; without them ranges are to be learnt (`Activations.calibrate`),
            and nothing is rounded before `rounds` says so.

    Raises:
        UserError: it computes something that has no counterpart in 8 bit, or has another number of places.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ResidualNorm):
                setattr(module, name, StepwiseResidualNorm(child))
    found, training = Activations(), network.training
    first = _Rounding(found, rounds=False, moves=True)
    first(network.eval(), clips.to(next(iter(network.state_dict().values())).device))
    network.train(training)
    if steps is None:
        found.register_buffer("least", first.extremes[0][0].new_zeros(len(found.kinds)))
        found.register_buffer("most", torch.zeros_like(found.least))
        found.follow(first.extremes, 1)
    elif len(steps) != len(found.kinds):
        raise UserError(f"it has {len(steps)} steps of activations, and {len(found.kinds)} activations")
    else:
        found.steps, found.rounds = list(steps), True
    network.activations = found
    network.__class__ = type(type(network).__name__, (_Rounded, type(network)), {})
    return found


def settle(network: nn.Module) -> None:
    """Fix the steps of a network that has learnt its ranges, in place, as they ship."""
    own = of(network)
    if own is not None and own.steps is None:
        steps, zeros = own.scales()
        own.steps = list(zip(steps.tolist(), zeros.tolist(), strict=True))
        own.rounds, own.moves = True, False
        del own.least, own.most


def place(network: nn.Module, module: nn.Module, clips: Tensor) -> int:
    """The number of the place that a module of a network leaves first what it computes of clips."""
    own, met = of(network), list[int]()
    assert own is not None
    rounding = _Rounding(own, rounds=True, moves=False)
    hook = module.register_forward_pre_hook(lambda *_: met.append(rounding.made))
    rounding(network, clips)
    hook.remove()
    return met[0]


def detach(network: nn.Module) -> list[Step] | None:
    """The inverse of `attach`, in place; returns the steps of a network that has settled."""
    own = of(network)
    if own is None:
        return None
    network.__class__ = type(network).__bases__[1]
    del network.activations
    return own.steps


@dataclass
class _Result:
    """What a function returned that depends on the network's input.

    Attributes:
        kind: how fine it is.
        place: whose range it has; None of floats that no operator of integers has taken.
        maker: what another function may go into, until it is rounded; else empty.
        channels: of the convolution that it comes from, as long as a normalisation may go into that; else 0.
        rounded: what is taken of it, once it is.
    """

    tensor: Tensor
    kind: Kind
    place: int | None = None
    maker: str = ""
    rounded: Tensor | None = None
    channels: int = 0


class _Rounding(TorchFunctionMode):
    """One forward pass.

    Attributes:
        extremes: of each place, where the ranges are to follow them.
        made: how many places it has met.
    """

    def __init__(self, activations: Activations, rounds: bool, moves: bool) -> None:
        super().__init__()
        self.activations, self.rounds, self.moves = activations, rounds, moves
        self.extremes: dict[int, tuple[Tensor, Tensor]] = {}
        self.made = 0
        self.steps: Any = activations.steps
        if rounds and self.steps is None:
            steps, zeros = activations.scales()
            self.steps = list(zip(steps.unbind(), zeros.unbind(), strict=True))
        self._results: dict[int, _Result] = {}  # by the identity of the tensor, which is kept for that

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        """The logits of a network for clips."""
        forward = super(_Rounded, network).forward if isinstance(network, _Rounded) else network.forward
        x = self.result(x.clone())  # nobody else's, so that it is known again
        with self:
            logits = forward(x)
        return self.integers(logits)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.__name__, kwargs or {}
        if name in LOOKS or not any(id(each) in self._results for each in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        if name not in FUNCTIONS:
            raise UserError(f"it computes {name}, for which nothing says what it is in 8 bit")
        return FUNCTIONS[name](self, func, *args, **kwargs)

    def of(self, value: Any) -> _Result | None:
        """What is known of a value, unless it is a constant."""
        return self._results.get(id(value))

    def known(self, value: Any) -> _Result:
        """What is known of a value that is no constant."""
        return self._results[id(value)]

    def result(self, tensor: Tensor, maker: str = "", kind: Kind = Kind.INT8) -> Tensor:
        """Take note of what an operator leaves, which has a place of its own unless it is a float."""
        self._results[id(tensor)] = _Result(tensor, kind, None if kind is Kind.EXACT else self._place(kind), maker)
        return tensor

    def same(self, tensor: Tensor, given: _Result, maker: str = "", *, rounded: bool = False) -> Tensor:
        """Take note of what has the place of another result."""
        self._results[id(tensor)] = _Result(
            tensor, given.kind, given.place, maker, tensor if rounded else None, given.channels if maker else 0
        )
        return tensor

    def _place(self, kind: Kind) -> int:
        if self.made == len(self.activations.kinds):
            self.activations.kinds.append(kind)
        self.made += 1
        return self.made - 1

    def integers(self, value: Any) -> Any:
        """What an operator of integers takes: a result as its place rounds it, a constant in 8 bit."""
        found = self.of(value)
        if found is None:
            return constant(value) if self.rounds else value
        if found.rounded is None:
            if found.place is None:
                found.place = self._place(Kind.INT8)
            found.rounded = self._round(value, found.place)
        return found.rounded

    def floats(self, value: Any) -> Any:
        """What an operator of floats takes."""
        found = self.of(value)
        return value if found is None or found.kind is Kind.EXACT else self.integers(value)

    def _round(self, x: Tensor, place: int) -> Tensor:
        if self.moves:
            low, high = torch.aminmax(x.detach())
            known = self.extremes.get(place)  # of what an average leaves, which has the place of what it took
            self.extremes[place] = (low, high) if known is None else known
        if not self.rounds:
            return x
        most = self.activations.kinds[place].value
        step, zero = self.steps[place]
        return torch.fake_quantize_per_tensor_affine(x, step, zero, -most - 1, most)


def constant(value: Any) -> Any:
    """A constant that an operator of integers takes: in 8 bit, over the range that it has with zero."""
    if not isinstance(value, Tensor):
        return value
    least, most = (each.detach() for each in (value.amin().clamp_max(0), value.amax().clamp_min(0)))
    step = (most - least).clamp_min(1e-9) / 255
    zero = torch.round(-128 - least / step)
    return value + (((value / step).round() + zero).clamp(-128, 127).sub(zero) * step - value).detach()


def _conv2d(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    y = self.result(func(self.integers(x), *more, **options), "conv")
    self.known(y).channels = y.shape[1]
    return y


def _batch_norm(
    self: _Rounding, func: Any, x: Tensor, mean: Tensor, variance: Tensor, *, weight: Tensor, bias: Tensor, eps: float,
    **options: Any,
) -> Tensor:  # fmt: skip
    """By its running statistics, whether it is in training or not."""
    scale = weight / torch.sqrt(variance + eps)
    options |= {"weight": weight, "bias": bias, "eps": eps, "training": False}
    return _affine(self, lambda: func(x, mean, variance, **options), x, scale, bias - mean * scale)


def _addcmul(self: _Rounding, func: Any, shift: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    return _affine(self, lambda: func(shift, x, scale), x, scale, shift)


def _affine(self: _Rounding, whole: Callable[[], Tensor], x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Into the convolution before it. Where that is not to be, as what follows is another one for each of several
    sub-bands, the largest of a channel goes, and the rest is a product and a sum, each of them rounded."""
    found = self.known(x)
    channels = found.channels if found.rounded is None else 0
    if channels == len(scale):
        return self.same(whole(), found, "conv")
    scale, shift = scale.reshape(-1, 1, 1), shift.reshape(-1, 1, 1)
    if channels:
        common = largest(scale.reshape(channels, -1)).repeat_interleave(len(scale) // channels).reshape(-1, 1, 1)
        x, scale = self.same(x * common, found), scale / common
    product = self.result(self.integers(x) * self.integers(scale))
    return self.result(self.integers(product) + self.integers(shift), "add")


def largest(scale: Tensor) -> Tensor:
    """Of (channel, sub-band) scales the largest magnitude of each channel: (channel,)."""
    return scale.abs().amax(dim=1).clamp_min(1e-9)


def _relu(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    found = self.known(x)
    if found.maker in ("conv", "add") and found.rounded is None:
        return self.same(torch.relu(x), found)
    return self.result(torch.relu(self.integers(x)))


def _silu(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    x = self.integers(x)
    gate = torch.sigmoid(x)
    if self.rounds:
        gate = torch.fake_quantize_per_tensor_affine(gate, *SIGMOID, -128, 127)
    return self.result(x * gate, "add")


def _sum(self: _Rounding, func: Any, x: Any, y: Any, *more: Any, **options: Any) -> Tensor:
    """Of two or their difference, product or quotient."""
    kinds = [found.kind for found in (self.of(x), self.of(y)) if found is not None]
    if x is y and func.__name__ == "mul" and kinds[0] is Kind.INT8:
        x = self.integers(x)
        return self.result(x * x, kind=Kind.INT16)
    if Kind.INT8 not in kinds:
        return self.result(func(self.floats(x), self.floats(y), *more, **options), kind=Kind.EXACT)
    if func.__name__ == "div" and self.of(y) is None:  # the file has a product with the reciprocal
        return self.result(self.integers(x) * self.integers(1 / torch.as_tensor(y, dtype=torch.float32)), "add")
    return self.result(func(self.integers(x), self.integers(y), *more, **options), "add")


def _mean(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    found = self.known(x)
    if found.kind is Kind.EXACT:
        return self.result(func(x, *more, **options), kind=Kind.EXACT)
    if found.maker == "mean" and found.rounded is None:
        return self.same(func(x, *more, **options), found)
    return self.result(func(self.integers(x), *more, **options), "mean", found.kind)


def _root(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    return self.result(func(self.floats(x), *more, **options), kind=Kind.EXACT)


def _norm(self: _Rounding, func: Any, x: Tensor, *more: Any, dim: Any, keepdim: bool = False, **_: Any) -> Tensor:
    """The root of the sum of squares."""
    x = self.integers(x)
    squares = self.result(x * x, kind=Kind.INT16)
    total = self.result(self.integers(squares).sum(dim, keepdim), kind=Kind.INT16)
    return self.result(torch.sqrt(self.integers(total)), kind=Kind.EXACT)


def _moved(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    """What has the numbers of what it takes, or some of them, or zeros beside them."""
    found = self.known(x)
    if func.__name__ == "reshape" and found.channels and found.rounded is None:  # what follows may be of sub-bands
        return self.same(func(x, *more, **options), found, found.maker)
    y = func(self.floats(x), *more, **options)
    return self.same(y, found, rounded=found.place is not None)


def _average(self: _Rounding, func: Any, x: Tensor, *more: Any, **options: Any) -> Tensor:
    return self.same(func(self.integers(x), *more, **options), self.known(x))


LOOKS = {"__get__", "dim", "size", "is_floating_point", "numel", "__len__", "get_device"}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "conv2d": _conv2d,
    "batch_norm": _batch_norm,
    "addcmul": _addcmul,
    "relu": _relu,
    "silu": _silu,
    **dict.fromkeys(("add", "sub", "mul", "div"), _sum),
    "mean": _mean,
    **dict.fromkeys(("sqrt", "rsqrt"), _root),
    "linalg_vector_norm": _norm,
    "avg_pool2d": _average,
    **dict.fromkeys(
        ("max_pool2d", "pad", "reshape", "flatten", "view", "contiguous", "to", "float", "dropout", "dropout2d"), _moved
    ),
}
