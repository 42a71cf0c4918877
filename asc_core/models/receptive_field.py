"""How much of the input one position of the last feature map sees."""

from torch import nn
from torch.nn.modules.utils import _pair

from asc_core.models.trace import trace


def receptive_field(network: nn.Module, *, pooling_kernels: bool = False, bands: int = 256) -> tuple[int, int]:
    """The receptive field of a network in input bins: (frequency, time).

    1 + the sum over layers of (kernel - 1) * dilation * (product of the strides before it), over the convolutions in
    the order of computation. As in arXiv 2111.06531 a pooling counts with its stride; `pooling_kernels` counts its
    kernel too, which is what a position really sees. This is the reach of the local operations: means over an axis and
    normalisations by statistics of a clip have no kernel and are left out.

    It holds for networks whose convolutions with a kernel above 1 follow one another; branches beside them (shortcuts)
    may hold 1x1 convolutions only, as those of this library do.

    Args:
        bands: mel bands of the clip that is sent through the network to learn the order of its layers.
    """
    field, step = [1, 1], [1, 1]
    for module, _ in trace(network, (1, bands, bands)):
        if isinstance(module, nn.Conv2d):
            dilation, counted = _pair(module.dilation), True
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            dilation, counted = (1, 1), pooling_kernels
        else:
            continue
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        for axis in range(2):
            field[axis] += counted * (kernel[axis] - 1) * dilation[axis] * step[axis]
            step[axis] *= stride[axis]
    return field[0], field[1]
