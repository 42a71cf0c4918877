"""A deployed network as an ONNX graph, for ONNX Runtime and whatever else reads the format.

The graph takes log-mel energies "features" (batch, 1, mel, frame) float32 and returns "logits" (batch, class). What a
package says of itself (labels, features, network, ...) stands as JSON in its metadata, under the key "asc".
"""

import io
import json
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from asc_core.compression.activations import detach
from asc_core.deploy.graph import METADATA
from asc_core.deploy.lowering import lowered
from asc_core.features.frontend import shape_of
from asc_core.models.norm import FixedPCEN

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

OPSET = 17  # nothing here needs a later one, and every ONNX Runtime since 1.12 reads it


def to_onnx(network: nn.Module, description: dict[str, Any]) -> bytes:
    """The float32 graph of a deployed network, weights dequantised, for batches of any size. Activations in 8 bit are
    floats in it: ONNX Runtime has ways of its own with rounded ones.

    So is time, but for networks with `FixedPCEN`, which are exported for the frames of a training clip.

    Raises:
        UserError: the description does not say which features the network was trained on.
    """
    import onnx

    example = torch.zeros(1, *shape_of(description))
    dynamic = {"features": {0: "batch", 3: "frame"}, "logits": {0: "batch"}}
    if any(isinstance(module, FixedPCEN) for module in network.modules()):
        del dynamic["features"][3]
    network = lowered(network, example.shape[-1])
    detach(network)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Its deprecation, and the checks of shapes in the networks, which hold for what is exported here.
        warnings.simplefilter("ignore")
        # The TorchScript exporter is deprecated in favour of dynamo=True, but takes a tenth of its time (0.3 s to about
        # 3 s), which counts where a package is exported before every prediction. torch is pinned: this one will not go
        # away unseen.
        torch.onnx.export(
            network,
            (example,),
            buffer,  # type: ignore[arg-type]  # its annotation forgets files in memory
            input_names=["features"],
            output_names=["logits"],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    _fold_pads(model.graph)
    model.metadata_props.add(key=METADATA, value=json.dumps(description))
    return model.SerializeToString()


def _fold_pads(graph: "GraphProto") -> None:
    """Put the numbers of paddings where the exporter has them computed, so that all sizes are known."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    makers = {output: node for node in graph.node for output in node.output}

    def before(name: str) -> list["NodeProto"]:
        """The nodes that compute a tensor from nothing, in order."""
        node = makers[name]
        return [*(each for given in node.input if given for each in before(given)), node]

    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        nodes = list({each.output[0]: each for each in before(pad.input[1])}.values())
        part = helper.make_graph(nodes, "pads", [], [helper.make_tensor_value_info(pad.input[1], 7, None)])
        (pads,) = ReferenceEvaluator(part, opsets={"": OPSET}).run(None, {})
        pad.input[1] = f"{pad.name}/pads"
        graph.initializer.append(numpy_helper.from_array(np.asarray(pads), pad.input[1]))
        for node in reversed(nodes):
            if not any(node.output[0] in each.input for each in graph.node):
                graph.node.remove(node)


def to_int8(content: bytes, clips: Iterable[np.ndarray]) -> bytes:
    """An exported graph with its convolutions in int8 (QDQ: weights per channel, activations as `clips` range).

    A channel's weights are the package's own integers where it has a scale of its own; the convolutions without a
    normalisation share one there and get one a channel here, so theirs are rounded to a grid at least as fine. Only the
    convolutions: with the additions and means between them in int8 as well, it is slower and less exact.

    Args:
        content: what `to_onnx` returns.
        clips: features (1, 1, mel, frame) of real sound.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.clips = iter(clips)

        def get_next(self) -> dict[str, np.ndarray] | None:
            clip = next(self.clips, None)
            return None if clip is None else {"features": clip}

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(content)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)  # scales and shifts go into the convolutions
        quantization.quantize_static(
            prepared,
            result,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        quantized = onnx.load(result)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(onnx.load_from_string(content).metadata_props)
    return quantized.SerializeToString()
