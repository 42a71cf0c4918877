"""What a LiteRT file costs on a device: the memory that its activations take at once."""

from asc_core.deploy import memory
from asc_core.deploy.tflite.reading import CONVOLUTIONS, Graph


def arena(graph: Graph) -> int:
    """About the bytes that LiteRT for Microcontrollers needs for a graph: its activations, and what is kept of its
    structure. Its own figure is `micro.arena`."""
    channels = sum(graph.tensors[each.inputs[1]].shape[-1] for each in graph.operators if each.name in CONVOLUTIONS)
    kernels = sum(operator.name != "RESHAPE" for operator in graph.operators)
    return activations(graph) + memory.kept(len(graph.tensors), len(graph.operators), kernels, channels)


def activations(graph: Graph) -> int:
    """Bytes of activations at their peak, in one piece of memory."""
    return placement(graph)[1]


def placement(graph: Graph) -> tuple[dict[int, int], int]:
    """Where each tensor that is computed is kept while it is used, and the bytes of it all (`memory.placement`)."""
    sizes = {index: tensor.bytes for index, tensor in enumerate(graph.tensors)}
    steps = [(operator.inputs, operator.output) for operator in graph.operators]
    return memory.placement(sizes, steps, graph.inputs, graph.outputs)
