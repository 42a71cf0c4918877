"""A deployed network as a LiteRT graph of 32-bit floats."""

import json
import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn

from asc_core.compression.activations import largest
from asc_core.deploy.graph import METADATA
from asc_core.deploy.lowering import lowered
from asc_core.deploy.tflite.builder import Builder, add_metadata, seal
from asc_core.deploy.tflite.emitter import Emitter, Value, layout
from asc_core.deploy.tflite.operators import OPERATORS
from asc_core.errors import UserError
from asc_core.features.frontend import features_of
from asc_core.models.norm import SubSpectralNorm


def to_tflite(network: nn.Module, description: dict[str, Any]) -> bytes:
    """The float32 file of a deployed network, weights dequantised, for one clip of the training's length.

    It takes "features" (1, mel, frame, 1) and returns "logits" (1, class); its metadata holds the description as JSON.

    Raises:
        UserError: the description does not say which features the network was trained on, or the network computes
            something that has no counterpart in LiteRT.
        ModuleNotFoundError: LiteRT is not installed.
    """
    config, seconds = features_of(description)
    frames = config.frames(seconds)
    network = lowered(network, frames)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SubSpectralNorm):
                setattr(module, name, _SubBands(child).eval())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the checks of shapes in the networks, which hold for what is exported here
        program = torch.export.export(network, (torch.zeros(1, 1, config.n_mels, frames),))
    builder = Builder()
    converter = _Converter(program.module(), Emitter(builder))
    (logits,) = converter.run(None, enable_io_processing=False)
    model = builder.finish({"features": converter.features}, {"logits": logits.index})
    add_metadata(model, METADATA, json.dumps(description).encode())
    return seal(model)


class _Converter(fx.Interpreter):
    """Goes through torch's graph: what depends on the input becomes an operator, all else is computed here and now."""

    def __init__(self, module: fx.GraphModule, emitter: Emitter) -> None:
        super().__init__(module)
        self.emitter = emitter
        self.features = -1

    def run_node(self, n: fx.Node) -> Any:
        self.emitter.node = n
        value = n.meta.get("val")
        self.emitter.shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        return super().run_node(n)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Value:
        shape = self.emitter.shape
        self.features = self.emitter.builder.tensor(layout(shape))
        return Value(self.features, shape, self.emitter.node)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> None:
        """Torch's own checks of the input, the only modules that are left in what it exports."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if not any(isinstance(each, Value) for each in (*args, *kwargs.values())):
            return super().call_function(target, args, kwargs)
        name = str(target).removeprefix("aten.").replace("_.default", ".default")
        if name not in OPERATORS:
            raise UserError(f"{target}, which the network computes, has no counterpart in the export to LiteRT")
        return OPERATORS[name](self.emitter, *args, **kwargs)


class _SubBands(nn.Module):
    """A deployed `SubSpectralNorm` that leaves the channels where they are. What goes into the convolution before it is
    the largest scale of each channel; what is left of it, and the shift, are of each sub-band."""

    def __init__(self, norm: SubSpectralNorm) -> None:
        super().__init__()
        assert isinstance(norm.norm, nn.BatchNorm2d)  # as lowered
        self.groups = norm.groups
        scale, self.shift = (each.detach().reshape(-1, norm.groups, 1) for each in norm.norm.parameters())
        common = largest(scale[..., 0])
        self.scale, self.common = scale / common[:, None, None], nn.BatchNorm2d(len(common), eps=0.0)
        self.common.weight.detach().copy_(common)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, frequencies, frames = x.shape
        bands = self.common(x).reshape(batch, channels, self.groups, frequencies // self.groups * frames)
        return (bands * self.scale + self.shift).reshape(batch, channels, frequencies, frames)
