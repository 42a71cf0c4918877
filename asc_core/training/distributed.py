"""One training shared by several processes of one machine, a GPU each, as `torchrun` starts them.

Every process computes its part of each batch; statistics of batch normalisation and gradients are those of the whole
batch. All else (order of the clips, augmentation, the optimiser) happens alike in every process, so the result is that
of one process but for rounding and for dropout, which each process draws for itself. On a machine without a GPU the
processes share its cores. In a process that `torchrun` did not start, nothing here does anything.
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from asc_core.errors import UserError


def join() -> torch.device:
    """Join the processes that `torchrun` started with this one, if it did; return the device to compute on.

    Raises:
        UserError: there are more processes than GPUs.
    """
    cuda = torch.cuda.is_available()
    if not distributed.is_torchelastic_launched():
        return torch.device("cuda" if cuda else "cpu")
    index = int(os.environ["LOCAL_RANK"])
    if cuda and index >= torch.cuda.device_count():
        processes = os.environ["LOCAL_WORLD_SIZE"]
        raise UserError(f"{processes} processes for {torch.cuda.device_count()} GPUs: start one for each GPU")
    device = torch.device("cuda", index) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    return device


def leave() -> int:
    """End what `join` began: from now on each process is alone. Return the rank that this one had."""
    left = rank()
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return left


def rank() -> int:
    """The rank of this process among those that share the training: 0 for the first or the only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """How many processes share the training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def part(clips: int) -> slice:
    """Which clips of a batch are this process's."""
    return slice(rank() * clips // world(), (rank() + 1) * clips // world())


def total(tensor: Tensor) -> Tensor:
    """The sum of what each process has, bit for bit the same in all of them; gradients pass through it."""
    return _Sum.apply(tensor) if world() > 1 else tensor


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of the processes' gradients."""
    if world() > 1:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        summed = total(torch.cat([gradient.flatten() for gradient in gradients]))  # in one go: each is small
        for gradient, part in zip(gradients, summed.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))  # however it lies in memory


def synchronise(network: nn.Module) -> None:
    """Have the batch normalisations of `network`, in place, take their statistics over all processes' clips."""
    if world() > 1:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SharedBatchNorm2d


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` over the clips of all processes; with one process, or in evaluation, nothing else than that.

    The processes' means and variances are merged by the law of total variance, which loses no digits where a mean is
    large (sums of squares would). `nn.SyncBatchNorm` computes the same, on GPUs only.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None  # the defaults, all four
        own = x.float()
        variance, mean = torch.var_mean(own, dim=(0, 2, 3), correction=0)
        # A row a process, all but its own left zero: their sum has everyone's.
        rows = own.new_zeros(world(), 3, len(mean))
        rows[rank()] = torch.stack([torch.full_like(mean, x.numel() // len(mean)), mean, variance])
        counts, means, variances = total(rows).unbind(1)  # (process, channel) each
        count = counts.sum(dim=0)
        share = counts / count
        mean = (share * means).sum(dim=0)
        variance = (share * (variances + (means - mean).square())).sum(dim=0)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        mean, scale, bias = (
            values[:, None, None] for values in (mean, self.weight * torch.rsqrt(variance + self.eps), self.bias)
        )
        return ((own - mean) * scale + bias).to(x.dtype)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # every process's result depends on every process's input
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient
