"""The optimisers that a training may have, and what each of them remembers of every parameter."""

import inspect
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from asc_core.config import shown
from asc_core.errors import ConfigError
from asc_core.training.config import Schedule, TrainingConfig

STEP = "step"  # how many steps a parameter has made: a number, where all else has the parameter's shape
SQUARES = "exp_avg_sq"
Kind = TypeVar("Kind", bound=Optimizer)


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """An optimiser without what tells torch's compiler to leave it alone.

    Its first call would import the compiler, which takes as long as torch itself, and nothing here is compiled.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


_SGD, _ADAMW = _uncompiled(SGD), _uncompiled(AdamW)


def optimizer(parameters: Iterable[nn.Parameter], schedule: Schedule, training: TrainingConfig) -> Optimizer:
    """The optimiser of a training; its learning rate is set at every step.

    SGD has momentum, and adds the weight decay to the gradients. AdamW (arXiv 1711.05101) takes it from the weights, by
    the learning rate; its other numbers are those of the paper on Adam (arXiv 1412.6980).
    """
    decay = training.weight_decay if schedule.weight_decay is None else schedule.weight_decay
    if schedule.optimizer == "adamw":
        return _ADAMW(parameters, lr=0.0, weight_decay=decay)
    if schedule.optimizer == "sgd":
        return _SGD(parameters, lr=0.0, momentum=training.momentum, weight_decay=decay)
    raise ConfigError(f"needs one of sgd, adamw, got {shown(schedule.optimizer)}", "optimizer")


def remembered(optimizer: Optimizer) -> dict[int, dict[str, Tensor]]:
    """What an optimiser has for each parameter by now, by the parameter's number."""
    slots = optimizer.state_dict()["state"]
    return {number: {name: each for name, each in slot.items() if each is not None} for number, slot in slots.items()}


def like(optimizer: Optimizer) -> dict[int, dict[str, Tensor]]:
    """Tensors of the types and shapes that `remembered` may have."""
    names = (STEP, "exp_avg", SQUARES) if isinstance(optimizer, AdamW) else ("momentum_buffer",)
    parameters = optimizer.param_groups[0]["params"]
    return {
        number: {name: torch.zeros(()) if name == STEP else parameter for name in names}
        for number, parameter in enumerate(parameters)
    }
