"""ONNX graphs that were made to harm: each is refused in one line, or gives an answer, in little time and memory."""

import json
import random
from dataclasses import asdict
from pathlib import Path

import fuzzing
import numpy as np
import onnx
import pytest
import torch
from networks import deployed
from onnx import GraphProto, NodeProto, TensorProto, helper

from asc_core.commands.info import describe
from asc_core.deploy.graph import OPERATORS
from asc_core.deploy.onnx import to_int8, to_onnx
from asc_core.deploy.predictor import Predictor
from asc_core.models.config import NetworkConfig

NETWORKS = [
    NetworkConfig(),
    NetworkConfig("bc_resnet", norm="global_freqnorm"),
    NetworkConfig("cp_resnet", norm="fixed_pcen", width=4),
]
FEATURES = {"config": {"sample_rate": 16_000, "n_mels": 64, "window_ms": 130, "hop_ms": 30}, "seconds": 1.0}
LENGTHS = [0, 1, 2, 3, 5, 64, 1000, 1 << 16, 1 << 26, 1 << 31, 1 << 40, (1 << 63) - 1, -1, -2, -(1 << 63)]
FLOATS = [0.0, 0.5, -1.0, 1e38, float("nan"), float("inf")]
OTHERS = [*sorted(OPERATORS), "Loop", "If", "Expand", "Tile", "Resize", "Range", "RandomNormal", "\x1b[31m", ""]


@pytest.fixture
def folder(tmp_path):
    """Graphs of the networks, in float32 and in int8, each with its number."""
    for number, config in enumerate(NETWORKS):
        clips = torch.randn(4, 1, 64, 34)
        network = deployed(config, 3, clips)
        description = {"network": asdict(config), "labels": ["bus", "park", "tram"], "features": FEATURES}
        graph = to_onnx(network, description)
        (tmp_path / f"{2 * number}.onnx").write_bytes(graph)
        (tmp_path / f"{2 * number + 1}.onnx").write_bytes(to_int8(graph, (clip[None].numpy() for clip in clips)))
    return tmp_path


def make_graph(rng: random.Random, folder: Path, target: Path) -> Path:
    """A graph whose description, nodes, numbers, shapes or bytes are not what they were."""
    model = onnx.load(folder / f"{rng.randrange(2 * len(NETWORKS))}.onnx")
    what = rng.random()
    if what < 0.3:
        entry = model.metadata_props[0]
        value = fuzzing.text(fuzzing.hostile(rng, json.loads(entry.value)))
        entry.value = value.encode("utf-8", "replace").decode()
    elif what < 0.9:
        for _ in range(rng.choice([1, 1, 1, 3])):
            rng.choice([other_node, other_attribute, other_numbers, other_shape, other_parts])(rng, model.graph)
    data = model.SerializeToString()
    path = target / "made.onnx"
    path.write_bytes(fuzzing.damaged(rng, data) if what >= 0.9 else data)
    return path


def other_node(rng: random.Random, graph: GraphProto) -> None:
    """A node of another kind, or with other inputs, or none, or in another order."""
    node = rng.choice(graph.node)
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    what = rng.randrange(5)
    if what == 0:
        node.op_type = rng.choice(OTHERS)
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif what == 2:
        graph.node.remove(node)
    elif what == 3:
        graph.node.insert(
            rng.randrange(len(graph.node)), helper.make_node(rng.choice(OTHERS), [rng.choice(names)], ["x"])
        )
    else:
        node.domain = rng.choice(["com.microsoft", "evil", "ai.onnx.ml"])


def other_attribute(rng: random.Random, graph: GraphProto) -> None:
    """An attribute with other numbers, or one more."""
    nodes: list[NodeProto] = [node for node in graph.node if node.attribute]
    attribute = rng.choice(rng.choice(nodes).attribute)
    if attribute.ints and rng.random() < 0.8:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(LENGTHS)
    elif attribute.HasField("t"):
        numbers(rng, attribute.t)
    elif rng.random() < 0.5:
        attribute.i = rng.choice(LENGTHS)
    else:
        attribute.name = rng.choice(["pads", "strides", "kernel_shape", "axes", "perm", "value"])


def other_numbers(rng: random.Random, graph: GraphProto) -> None:
    numbers(rng, rng.choice(graph.initializer))


def numbers(rng: random.Random, tensor: TensorProto) -> None:
    """A tensor of other lengths, another type, other numbers, or numbers elsewhere."""
    what = rng.randrange(6)
    if what == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(LENGTHS)
    elif what == 1:
        tensor.dims.append(rng.choice(LENGTHS))
    elif what == 2:
        tensor.data_type = rng.randrange(24)
    elif what == 3:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif what == 4 and tensor.data_type == TensorProto.FLOAT:
        values = np.frombuffer(tensor.raw_data, np.float32).copy()
        values[rng.randrange(len(values) or 1) :] = rng.choice(FLOATS)
        tensor.raw_data = values.tobytes()
    elif what == 4:
        tensor.raw_data = rng.randbytes(len(tensor.raw_data))
    else:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice(["/etc/passwd", "../x", "/dev/zero", ""]))


def other_shape(rng: random.Random, graph: GraphProto) -> None:
    """The input or the output declared otherwise."""
    value = rng.choice([*graph.input, *graph.output])
    dimensions = value.type.tensor_type.shape.dim
    what = rng.randrange(4)
    if what == 0 and dimensions:
        dimensions[rng.randrange(len(dimensions))].dim_value = rng.choice(LENGTHS)
    elif what == 1:
        dimensions.add().dim_value = rng.choice(LENGTHS)
    elif what == 2:
        value.type.tensor_type.elem_type = rng.randrange(24)
    else:
        value.name = rng.choice(["", "x", "features", "logits"])


def other_parts(rng: random.Random, graph: GraphProto) -> None:
    """A part taken away, or twice."""
    parts = rng.choice([graph.node, graph.initializer, graph.input, graph.output])
    if not len(parts):
        return
    if rng.random() < 0.5:
        del parts[rng.randrange(len(parts))]
    else:
        parts.append(rng.choice(parts))


def use_graph(path: Path) -> None:
    """What `asc info` and `asc predict` do with it."""
    describe(path)
    predictor = Predictor(path)
    samples = np.random.default_rng(0).normal(0, 0.1, predictor.frontend.config.sample_rate).astype(np.float32)
    predictor.probabilities(predictor.frontend(samples))


def test_no_graph_does_harm(folder):
    count = 1000 if fuzzing.ALL else 150
    result = fuzzing.fuzz(count, folder, make_graph, use_graph)
    assert not result.broken, "\n".join(result.broken[:5])
    assert result.memory < 300e6
    assert result.refused > count / 3 and result.used > count / 20
