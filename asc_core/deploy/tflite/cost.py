"""What a LiteRT file costs on a device: the memory that its activations take at once."""

from asc_core.deploy.tflite.reading import CONVOLUTIONS, Graph

ALIGNMENT = 16  # bytes, of every tensor in the arena of LiteRT for Microcontrollers
# Bytes that its interpreter keeps for every tensor, operator and channel of a convolution, and for every operator's own
# data, the mean of what its kernels ask for.
PER_TENSOR, PER_OPERATOR, PER_CHANNEL, PER_KERNEL = 24, 64, 8, 48


def arena(graph: Graph) -> int:
    """About the bytes that LiteRT for Microcontrollers needs for a graph: its activations, and what is kept of its
    structure. Its own figure is `micro.arena`."""
    channels = sum(graph.tensors[each.inputs[1]].shape[-1] for each in graph.operators if each.name in CONVOLUTIONS)
    kernels = sum(operator.name != "RESHAPE" for operator in graph.operators)
    kept = PER_TENSOR * len(graph.tensors) + PER_OPERATOR * len(graph.operators) + PER_KERNEL * kernels
    return activations(graph) + kept + PER_CHANNEL * channels


def activations(graph: Graph) -> int:
    """Bytes of activations at their peak, in one piece of memory."""
    return placement(graph)[1]


def placement(graph: Graph) -> tuple[dict[int, int], int]:
    """Where each tensor that is computed is kept while it is used, in bytes from the start, and the bytes of it all.

    Placed as LiteRT for Microcontrollers does: the largest first, each in the first gap between those that are used at
    the same time (arXiv 2001.03288, greedy by size).
    """
    first, last = dict.fromkeys(graph.inputs, 0), dict.fromkeys(graph.inputs, 0)
    for at, operator in enumerate(graph.operators):
        first[operator.output] = last[operator.output] = at
        last |= {index: at for index in operator.inputs if index in first}
    last |= dict.fromkeys(graph.outputs, len(graph.operators) - 1)
    sizes = {index: -(-graph.tensors[index].bytes // ALIGNMENT) * ALIGNMENT for index in first}
    offsets: dict[int, int] = {}
    for index in sorted(first, key=lambda index: -sizes[index]):
        offset = 0
        for other in sorted(offsets, key=lambda other: offsets[other]):
            if first[other] <= last[index] and first[index] <= last[other]:
                if offsets[other] - offset >= sizes[index]:
                    break
                offset = max(offset, offsets[other] + sizes[other])
        offsets[index] = offset
    return offsets, max(offset + sizes[index] for index, offset in offsets.items())
