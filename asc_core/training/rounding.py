"""When a training rounds activations to 8 bit: not before the statistics of normalisations are fixed."""

from torch import nn

from asc_core.compression import activations
from asc_core.training import distributed
from asc_core.training.precise_bn import measure_statistics
from asc_core.training.state import State

BATCHES = 16  # that the ranges of activations begin with


def prepare(state: State) -> None:
    """Have the next epoch of a training, whose network has activations in 8 bit, round them as far as it is.

    The first third of the epochs is a training as any other. Then the statistics of batch normalisations are measured
    on the plain clips, and stay as they are, and so do the ranges of activations, which follow the batches until the
    last third, in the order of arXiv 1806.08342, section 3.2.
    """
    own = activations.of(state.network)
    epochs, epoch = state.job.schedule.epochs, state.epoch
    if own is None or epoch < epochs // 3:
        return
    learns = own.steps is None
    if epoch == epochs // 3:
        own.rounds = False
        measure_statistics(state.network, (x[distributed.part(len(x))] for x in state.plain()))
        if learns:
            plain = (x[distributed.part(len(x))] for x, _ in zip(state.plain(), range(BATCHES), strict=False))
            own.calibrate(state.network, plain)
            share(state)
        state.network.train()
    for module in state.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    own.rounds, own.moves = True, learns and epoch < epochs - -(-epochs // 3)
    if state.averages:  # of weights alone, from here on
        for name, tensor in state.network.named_buffers():
            state.averages.tensors[name].copy_(tensor)


def share(state: State) -> None:
    """Have all processes that share a training go on with the mean of their ranges."""
    own = activations.of(state.network)
    if own is not None and own.steps is None and distributed.world() > 1:
        for ends in (own.least, own.most):
            ends.copy_(distributed.total(ends) / distributed.world())
